import pytest

from xas_bluesky.edges import edge_names, find_edge, nearest_edges
from xas_bluesky.errors import EdgeError


# jump: difference of the two sides of the edge in Elam's tables, Mb per atom, less the slope of 2 %
@pytest.mark.parametrize(
    ("name", "energy", "jump"),
    [("C K", 284.2, 0.906), ("O_K", 543.1, 0.462), ("S-K", 2472.0, 0.0984), ("cu k", 8979.0, 0.0253)],
)
def test_an_edge_by_its_name(name: str, energy: float, jump: float) -> None:
    edge = find_edge(name)
    assert edge.energy == pytest.approx(energy, abs=1)
    assert 0.93 < edge.jump / jump < 0.98
    assert str(edge) == name.replace("_", " ").replace("-", " ").title()


@pytest.mark.parametrize(
    ("name", "says"), [("S", "expected an element and a level"), ("Xx K", "knows no such edge"), ("H K", "lies at 13.6 eV")]
)
def test_what_is_no_edge(name: str, says: str) -> None:
    with pytest.raises(EdgeError, match=says):
        find_edge(name)


def test_an_element_by_its_name() -> None:
    assert find_edge("iron K") is find_edge("iron K")
    assert str(find_edge("Iron_k")) == "Fe K"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("sulfur", ["S K", "S L1", "S L2", "S L3"]),
        ("Cu M9", ["Cu K", "Cu L1", "Cu L2", "Cu L3"]),
        ("copper l3 edge", ["Cu K", "Cu L1", "Cu L2", "Cu L3"]),
        ("???", []),
    ],
)
def test_what_may_have_been_meant(name: str, near: list[str]) -> None:
    assert nearest_edges(name) == near
    assert set(near) <= set(edge_names())
    assert "H K" not in edge_names()
