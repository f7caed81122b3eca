from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import xas_bluesky

SUBPACKAGES = sorted(path.parent.name for path in Path(xas_bluesky.__file__).parent.glob("*/__init__.py"))


@pytest.mark.parametrize("name", SUBPACKAGES)
def test_all_is_what_a_subpackage_offers(name: str) -> None:
    package = import_module(f"xas_bluesky.{name}")
    public = {key for key, value in vars(package).items() if key[0] != "_" and not isinstance(value, ModuleType)}
    offered = getattr(package, "__all__", [])
    assert sorted(offered) == sorted(public)
