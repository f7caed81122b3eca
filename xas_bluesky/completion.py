"""Tab completion of edges, as in change_edge("Cu L, where plans are typed."""

import re
import sys
from typing import Any

from xas_bluesky.edges import edge_names

BEFORE = re.compile(r"""(?:(?<!\w)(?:change_edge|xas)\(\s*|\bedge\s*=\s*)["'](\w* ?\w*)$""")
"""A plan's edge, begun: the first argument of change_edge and xas, or an argument called edge."""


def this_ipython() -> Any:
    """Return the IPython shell that runs this, None in another Python."""
    ipython: Any = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def complete_edges() -> None:
    """Have this IPython complete edges; do nothing in another Python, and in the queue server's worker."""
    shell = this_ipython()
    if shell is None:
        return
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher()
    def edges_matcher(context: Any) -> dict[str, Any]:
        found = edges_after(context.line_with_cursor[: context.cursor_position])
        return {"completions": [SimpleCompletion(text, type="edge") for text in found], "suppress": bool(found)}

    shell.Completer.custom_matchers.append(edges_matcher)


def edges_after(line: str) -> list[str]:
    """Return what may stand in place of the last word of a `line` that ends within the name of an edge."""
    match = BEFORE.search(line)
    if match is None:
        return []
    begun = match[1].lower()
    at = begun.rfind(" ") + 1  # the element is complete: only the level is left
    return [name[at:] for name in edge_names() if name.lower().startswith(begun)]
