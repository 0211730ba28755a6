"""The picture of throughput against latency, and the split of processor time."""

from xml.etree import ElementTree as ET

from node.bench.cluster import _split
from node.bench.curve import draw_curve
from node.bench.measure import Cost
from node.sampling import ROOMS

CURVE = [
    {"records_per_s": 0.0, "p50": 20.0, "p99": 60.0},
    {"records_per_s": 4_000.0, "p50": 90.0, "p99": 300.0},
    {"records_per_s": 2_000.0, "p50": 40.0, "p99": 110.0},
]


def texts(svg):
    return [each.text for each in ET.fromstring(svg).iter() if each.text]


def test_the_picture_is_an_svg_with_both_curves_and_equal_bytes():
    svg = draw_curve(CURVE)
    assert "median" in texts(svg)
    assert "p99" in texts(svg)
    assert "earlier, p99" not in texts(svg)
    assert draw_curve(CURVE) == svg
    assert draw_curve(CURVE[::-1]) == svg, "points are drawn in order of throughput"


def test_an_earlier_run_is_drawn_beside():
    assert "earlier, p99" in texts(draw_curve(CURVE, CURVE[:2]))


def cost(rooms_s):
    return Cost(0, 0.0, 0, 0, 0, {room: rooms_s.get(room, 0.0) for room in ROOMS})


def test_shares_are_of_what_all_nodes_have_used_meanwhile():
    before = [cost({"index": 1.0}), cost({})]
    after = [cost({"index": 2.0, "store": 1.0}), cost({"store": 2.0})]
    split = _split(before, after, 5.0)
    assert split is not None
    assert (split["index"], split["store"], split["links"]) == (25.0, 75.0, 0.0)
    assert split["accounted"] == 80.0


def test_where_nobody_looked_there_is_no_split():
    assert _split([cost({})], [cost({})], 5.0) is None
