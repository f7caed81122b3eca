from dataclasses import replace

import pytest
from rich.console import Console

from xas_bluesky.comparison import Group, Identification, Ranked
from xas_bluesky.comparison.fingerprint import Fit
from xas_bluesky.comparison.mixtures import Mixture
from xas_bluesky.report import (
    SHOWN,
    answer_table,
    figures_table,
    identification_report,
    outcome_report,
    results_table,
    step_table,
)


def shown(renderable) -> str:
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


@pytest.fixture
def answer():
    ranking = [Ranked("taurine", 0.5, 0, -1.25), Ranked("cysteic acid", 0.25, 0, -1.5)]
    ranking += [Ranked(f"thiol {number}", 0.02, 1, 0.0) for number in range(10)]
    groups = (Group(("taurine", "cysteic acid"), 0.75), Group(tuple(f"thiol {number}" for number in range(10)), 0.2))
    return Identification(tuple(ranking), groups, 0.05)


def test_the_leading_candidates_the_rest_and_none_are_shown(answer):
    text = shown(answer_table(answer))
    lines = text.splitlines()
    (taurine,) = (line for line in lines if line.startswith("│ taurine"))
    assert [part.strip() for part in taurine.strip("│").split("│")] == ["taurine", "0.500", "-1.25", "cysteic acid"]
    assert f"{len(answer.ranking) - SHOWN} more" in text
    assert "0.080" in text
    assert "none of these" in lines[-2]
    assert "0.050" in lines[-2]


def cells(text: str, start: str) -> list[str]:
    """Cells of the row that starts so."""
    row = next(line for line in text.splitlines() if line.startswith(f"│ {start}"))
    return [part.strip() for part in row.strip("│").split("│")]


def test_mixtures_and_fits_are_shown_below_the_answer_where_they_are_given(answer):
    assert shown(identification_report(answer)) == shown(answer_table(answer))
    mixtures = [Mixture("taurine", "thiol 1", 0.7, 0.049, 0.912), Mixture("thiol 2", "thiol 3", 0.5, 0.28, 0.05)]
    fits = [Fit(("a.csv", "b.csv"), (0.25, 0.75), (0.01, 0.02), 0.0, 0.0, 0.00123, 0.31, 0.0012, -1390.26, 259)]
    text = shown(identification_report(answer, mixtures, fits))
    assert cells(text, "taurine + thiol 1") == ["taurine + thiol 1", "0.70 + 0.30 (± 0.05)", "0.912"]
    assert cells(text, "a.csv") == ["a.csv", "0.250 ± 0.010", "0.00123", "0.0012", "-1390.3"]
    assert cells(text, "b.csv")[:2] == ["b.csv", "0.750 ± 0.020"]
    assert text.index("none of these") < text.index("mixtures of two") < text.index("fits by measured references")


def test_a_step_says_how_far_it_is_and_what_comes_next(outcome):
    text = shown(step_table(outcome.steps[0]))
    request = outcome.steps[0].decision.request
    assert "13 points, 20 s · information gain · next: " in text
    assert f"{request.energy[0]:.1f}" in text
    assert "plain" in text
    assert "· stop" in shown(step_table(outcome.steps[-1]))


def test_a_step_without_an_answer_is_shown_too(outcome):
    step = outcome.steps[0]
    text = shown(step_table(replace(step, decision=replace(step.decision, answer=None, reason="no predictions yet"))))
    assert "no predictions yet" in text


def test_a_report_says_everything_and_how_to_query_it(outcome):
    text = shown(outcome_report(outcome, "xas-bluesky results --catalog runs --json"))
    for said in ("plain", "shouldered", "none of these", "226", outcome.stop_reason, "the-uid", "--catalog runs --json"):
        assert said in text
    for group in outcome.answer.groups:
        assert f"{group.probability:.3f}  {', '.join(group.members)}" in text


def test_results_are_a_row_each():
    found = {
        "sample": "lot 3",
        "edge": "S K",
        "ranking": [{"candidate": "taurine", "probability": 0.9123}],
        "none_of_these": 0.05,
        "points": 21,
        "raw_uid": "0ab9d6a4-0b9f-4d55-9a06-3c1c3f1d5a11",
        "record": "97bbe1be-9c44-4956-9d2c-c7ef94bb8329",
    }
    row = next(line for line in shown(results_table([found])).splitlines() if "lot 3" in line)
    assert [part.strip() for part in row.strip("│").split("│")] == [
        "lot 3",
        "S K",
        "taurine",
        "0.912",
        "0.050",
        "21",
        "0ab9d6a4",
        "97bbe1be",
    ]
    assert "nothing found" in shown(results_table([]))


def test_figures_are_shown_by_edge_and_part():
    text = shown(
        figures_table({"C K test": {"relative_l1": 0.0712, "structures": 254.0}, "Cu K test": {"relative_l1": 0.019}})
    )
    (line,) = (line for line in text.splitlines() if "C K test" in line)
    assert [part.strip() for part in line.strip("│").split("│")][:3] == ["C K test", "254", "0.0712"]
    (line,) = (line for line in text.splitlines() if "Cu K test" in line)
    assert [part.strip() for part in line.strip("│").split("│")][:3] == ["Cu K test", "", "0.019"]
