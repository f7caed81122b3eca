import pytest

from xas_bluesky.completion import edges_after


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('RE(change_edge("Cu ', ["K", "L1", "L2", "L3", "M1"]),
        ('RE(change_edge("cu l', ["L1", "L2", "L3"]),
        ("RE(xas('Fe K", ["K"]),
        ('RE(agent_xas("list.smi", edge="S k', ["K"]),
        ('RE(agent_xas("S ', []),  # its first argument are the candidates
        ('RE(xas("S K", sample="Cu ', []),
        ("Cu ", []),
    ],
)
def test_edges_are_completed_where_one_is_begun(line, found):
    assert edges_after(line) == found


def test_an_element_is_completed_with_its_edges():
    assert "Cu K" in edges_after('change_edge("C')
    assert "Fe K" not in edges_after('change_edge("C')
