import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xas_bluesky.decision import Choice, Prospect, choose_sample
from xas_bluesky.decision.sample_choice import patience
from xas_bluesky.errors import SettingsError

GAIN = st.one_of(st.just(0.0), st.floats(1e-6, 10.0))
SECONDS = st.floats(5.0, 20.0)
PRIORITY = st.sampled_from([0.5, 1.0, 2.0, 3.0])
PROSPECTS = st.lists(st.builds(Prospect, st.just("s"), GAIN, SECONDS, PRIORITY), min_size=1, max_size=5)


def run(prospects, turns):
    """Measure what is chosen, turn after turn; return the choices, each with the time its turn ended."""
    now, chosen = 0.0, []
    prospects = list(prospects)
    for _ in range(turns):
        index = choose_sample(prospects).index
        seconds = prospects[index].seconds
        now += seconds
        prospects = [replace(prospect, waited=prospect.waited + seconds) for prospect in prospects]
        prospects[index] = replace(prospects[index], waited=0.0, points=prospects[index].points + 4)
        chosen.append((index, now))
    return chosen


def test_the_next_minute_goes_where_priority_times_gain_per_second_is_highest():
    prospects = [Prospect("a", 0.5, 10.0), Prospect("b", 2.0, 50.0), Prospect("c", 0.4, 10.0, priority=2.0)]
    assert choose_sample(prospects) == Choice(2, "c promises most: 0.04 nats/s at priority 2")
    assert choose_sample(prospects[:2]).index == 0  # b gains more, but is far away
    assert choose_sample([replace(prospects[0], gain=1e-9), prospects[1]]).index == 1


def test_none_is_chosen_when_all_are_done_and_a_done_one_never():
    done = Prospect("a", 9.0, 1.0, priority=9.0, waited=1e6, done=True)
    assert choose_sample([]) is None
    assert choose_sample([done, done]) is None
    assert choose_sample([done, Prospect("b", 0.0, 1.0)]).index == 1


def test_the_one_that_waits_too_long_is_next_and_the_reason_says_so():
    prospects = [Prospect("rich", 5.0, 10.0), Prospect("poor", 0.0, 20.0, waited=121.0)]
    assert choose_sample(prospects) == Choice(1, "poor has waited 121 s, more than 120 s")
    assert choose_sample([prospects[0], replace(prospects[1], waited=119.0)]).index == 0


def test_priority_zero_waits_until_all_others_are_done():
    last = Prospect("last", 9.0, 1.0, priority=0.0, waited=1e9)
    others = [Prospect("a", 0.0, 100.0), Prospect("b", 0.0, 100.0, priority=0.1)]
    assert choose_sample([last, *others]).index in (1, 2)
    assert choose_sample([last, *(replace(other, done=True) for other in others)]).index == 0
    assert choose_sample([replace(last, waited=0.0), replace(last, waited=0.0, gain=10.0)]).index == 1


def test_of_equal_ones_the_unmeasured_comes_first():
    assert [index for index, _ in run([Prospect(name, 0.0, 10.0) for name in "abc"], 6)] == [0, 1, 2, 0, 1, 2]
    assert choose_sample([Prospect("a", 1.0, 10.0, points=4), Prospect("b", 1.0, 10.0)]).index == 1


@given(PROSPECTS)
@settings(max_examples=40, deadline=None)
def test_nobody_is_left_alone_for_longer_than_stated(prospects):
    chosen = run(prospects, 250)
    slack = sum(prospect.seconds for prospect in prospects) + max(prospect.seconds for prospect in prospects)
    for index, bound in enumerate(patience(prospects)):
        ends = [0.0, *(end for who, end in chosen if who == index)]
        starts = [end - prospects[index].seconds for end in ends[1:]] + [chosen[-1][1]]
        waits = [start - end for end, start in zip(ends, starts, strict=True)]
        assert max(waits) <= (bound + slack) * (1 + 1e-9)


@given(PROSPECTS, GAIN, SECONDS, PRIORITY)
@settings(max_examples=40, deadline=None)
def test_twice_the_priority_never_gets_less(others, gain, seconds, priority):
    low, high = Prospect("low", gain, seconds, priority), Prospect("high", gain, seconds, 2 * priority)
    lead = 0
    for index, _ in run([low, high, *others], 200):
        lead += {0: -1, 1: 1}.get(index, 0)
        assert lead >= 0


@given(PROSPECTS, st.integers(0, 4))
@settings(max_examples=30, deadline=None)
def test_the_choice_repeats_and_done_ones_are_out(prospects, which):
    which %= len(prospects)
    prospects[which] = replace(prospects[which], done=True)
    choice = choose_sample(prospects)
    assert choice == choose_sample(prospects)
    assert choice is None if len(prospects) == 1 else choice.index != which


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gain": math.nan}, "'a': gain nan must be finite; give 0"),
        ({"seconds": 0.0}, "'a': seconds 0.0 must be finite and positive"),
        ({"priority": -1.0}, "'a': priority -1.0"),
        ({"waited": math.inf}, "waited inf must be finite"),
    ],
)
def test_a_value_out_of_range_is_named(wrong, message):
    with pytest.raises(SettingsError, match=message):
        Prospect(**{"name": "a", "gain": 1.0, "seconds": 1.0, **wrong})
