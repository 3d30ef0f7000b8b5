"""What a pickle hands to our reconstructors, damaged: a clear error, or something whole."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from needs import needs_tracer
from stories import tell

from gilknocker import GilTracer, KnockKnock, Snapshot, WaitHistogram

junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=24),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def refused_or_whole(rebuild: Any, state: tuple[Any, ...]) -> Any:
    try:
        return rebuild(*state)
    except (TypeError, ValueError) as error:
        assert str(error)
        return None


@given(st.data())
def test_a_snapshot(data: st.DataObject) -> None:
    snapshot = tell(["held"], [1, 2, 300], raw=True)
    rebuild, state = snapshot.__reduce__()
    damaged = list(state)
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(junk)
    back = refused_or_whole(rebuild, tuple(damaged))
    if back is not None:
        assert pickle.loads(pickle.dumps(back)) == back
        assert str(back)


@given(st.data())
def test_raw_waits(data: st.DataObject) -> None:
    raw = tell(["held"], [1, 2, 300], raw=True)._raw
    assert raw is not None
    rebuild, state = raw.__reduce__()
    damaged = list(state)
    for _ in range(data.draw(st.integers(1, 2))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(junk)
    back = refused_or_whole(rebuild, tuple(damaged))
    if back is not None:
        assert pickle.loads(pickle.dumps(back)) == back
        assert (back.wait_times >= 0).all() and (back.knock_times >= 0).all()
        assert 0 <= back.first_sequence <= 2**63 - 1
        assert len(back.newest(1)) == min(len(back), 1)


@given(st.one_of(junk, st.lists(st.tuples(*[st.integers(-1, 2**64)] * 3), max_size=3)))
def test_a_histogram(buckets: Any) -> None:
    rebuild, _ = WaitHistogram.from_buckets([]).__reduce__()
    back = refused_or_whole(rebuild, (buckets,))
    if back is not None:
        assert pickle.loads(pickle.dumps(back)) == back


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, -1, "first_sequence must be an integer from 0"),
        (0, "0", "first_sequence must be an integer from 0"),
        (1, "12345678", "raw waits must be bytes, not '12345678'"),
        (1, bytes(7), "7 bytes of waits, 24"),
        (2, b"\xff" * 24, "raw instants must not be negative"),
    ],
)
def test_bad_raw_waits_are_named(place: int, value: Any, message: str) -> None:
    raw: Any = tell(["held"], [1, 2, 300], raw=True)._raw
    rebuild, state = raw.__reduce__()
    with pytest.raises((TypeError, ValueError), match=message):
        rebuild(*state[:place], value, *state[place + 1 :])


def test_raw_waits_of_another_kind() -> None:
    snapshot = tell(["held"], [1, 2, 300], raw=True)
    rebuild, (data, _, holds) = snapshot.__reduce__()  # type: ignore[misc]
    with pytest.raises(TypeError, match="raw times must be RawWaits or None, not 'abc'"):
        rebuild(data, "abc", holds)


@needs_tracer
@given(st.data())
def test_a_trace_s_raw_holds(data: st.DataObject) -> None:
    with GilTracer(100) as tracer:
        snapshot = tracer.snapshot(waits=True)
    rebuild, state = snapshot.__reduce__()
    damaged = list(state)
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        other = tell(["held"], [1, 2, 300], raw=True)._raw
        damaged[place] = data.draw(junk | st.just(other))
    back = refused_or_whole(rebuild, tuple(damaged))
    if back is not None:
        assert pickle.loads(pickle.dumps(back)) == back
        assert str(back)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("kind", [KnockKnock, pytest.param(GilTracer, marks=needs_tracer)])
def test_what_measures_is_neither_copied_nor_pickled(kind: Any, copied: Any) -> None:
    with pytest.raises(TypeError, match="cannot be copied or pickled; its snapshot"):
        copied(kind())


@needs_tracer
@given(st.data())
def test_a_trace_from_damaged_data(data: st.DataObject) -> None:
    with GilTracer(100) as tracer:
        stored = tracer.snapshot().to_dict()
    stored[data.draw(st.sampled_from(sorted(stored)))] = data.draw(junk)
    back = refused_or_whole(Snapshot.from_dict, (stored,))
    if back is not None:
        assert Snapshot.from_dict(back.to_dict()) == back
        assert str(back)
        assert pickle.loads(pickle.dumps(back)) == back
