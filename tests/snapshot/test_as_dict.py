"""A snapshot kept: in JSON, in a pickle, in a set; and everything that is not one refused."""

from __future__ import annotations

import copy
import json
import math
import pickle
import pydoc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import any_snapshots, tell

from gilknocker import KnockKnock, Snapshot, ThreadTimes
from gilknocker.snapshot.sources import from_trace


@given(any_snapshots)
def test_it_comes_back_from_json_and_pickle(snapshot: Snapshot) -> None:
    raw = hasattr(snapshot, "wait_times")
    text = json.dumps(snapshot.to_dict(waits=raw), allow_nan=False)
    back = Snapshot.from_dict(json.loads(text))
    assert back == snapshot
    assert hash(back) == hash(snapshot)
    assert str(back) == str(snapshot)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(snapshot, protocol)) == snapshot
    if raw:
        assert back.wait_times.tolist() == snapshot.wait_times.tolist()
        assert back.waits_dropped == snapshot.waits_dropped
        bare = Snapshot.from_dict(snapshot.to_dict())
        assert not hasattr(bare, "wait_times")
        assert bare != snapshot


def test_it_is_immutable_and_hashable() -> None:
    snapshot = tell(["held"], [1], raw=True)
    with pytest.raises(AttributeError, match="a Snapshot is immutable: ticks cannot be set"):
        snapshot.ticks = 5
    with pytest.raises(AttributeError, match="a Snapshot is immutable: note cannot be set"):
        snapshot.note = 5
    with pytest.raises(AttributeError, match="a Snapshot is immutable: ticks cannot be deleted"):
        del snapshot.ticks
    assert copy.copy(snapshot) is copy.deepcopy(snapshot) is snapshot
    assert weakref.ref(snapshot)() is snapshot
    assert len({snapshot, tell(["held"], [1], raw=True), tell(["held"], [2], raw=True)}) == 2
    assert snapshot != tell(["held"], [1])
    assert snapshot != "snapshot"
    with pytest.raises(TypeError, match=r"made by KnockKnock.snapshot\(\) or Snapshot.from_dict"):
        Snapshot()


def test_a_pickle_with_other_raw_waits_is_refused() -> None:
    snapshot: Any = tell([], [1, 2], raw=True)
    rebuild, (_, raw, _) = snapshot.__reduce__()
    with pytest.raises(ValueError, match="2 raw times of 1 knocks"):
        rebuild(tell([], [1]).to_dict(), raw, None)
    rebuild_raw, (first, waits, times) = raw.__reduce__()
    with pytest.raises(ValueError, match="16 bytes of waits, 8 of their instants"):
        rebuild_raw(first, waits, times[8:])


def test_the_summary_has_what_follows_and_none_for_what_does_not() -> None:
    empty = tell([], []).to_dict()["summary"]
    assert empty.pop("held_fraction_interval") == [0.0, 1.0]
    assert empty.pop("observed_seconds") == 0.0
    assert empty.pop("method") == "look"
    assert (empty.pop("knocks"), empty.pop("in_flight_ns")) == (0, 0)
    assert set(empty.values()) == {None}
    summary = tell(["held", "free"], [100, 100, 120]).to_dict()["summary"]
    assert summary["held_fraction"] == 0.5
    assert [summary[f"wait_{name}_ns"] for name in ("p50", "p90", "p99", "max")] == [
        100,
        120,
        120,
        120,
    ]
    assert tell(["disabled"], []).to_dict()["summary"]["held_fraction_interval"] is None


def test_the_summary_is_not_read() -> None:
    data = tell(["held"], [1]).to_dict()
    assert Snapshot.from_dict({**data, "summary": "whatever"}) == tell(["held"], [1])
    del data["summary"]
    assert Snapshot.from_dict(data) == tell(["held"], [1])


def stored() -> dict[str, Any]:
    return tell(["held", "free", "own", "disabled"], [5, 300, 300], raw=True).to_dict(waits=True)


def stored_merge() -> dict[str, Any]:
    part = tell(["held", "free", "own", "disabled"], [5, 300, 300], raw=True)
    return (part + part).to_dict(waits=True)


BAD: list[tuple[str, Any, type[Exception], str]] = [
    ("format", "other", ValueError, "format must be 'gilknocker.snapshot', not 'other'"),
    ("format", None, TypeError, "format must be 'gilknocker.snapshot', not None"),
    ("version", 2, ValueError, "version must be 1, not 2"),
    ("version", True, TypeError, "version must be 1, not True"),
    ("ticks", -1, ValueError, r"ticks must be an integer from 0 to 2\*\*63 - 1, not -1"),
    ("ticks", 2**63, ValueError, "ticks must be .*, not 9223372036854775808"),
    ("ticks", 10**5000, ValueError, "ticks must be .*, not an integer of 16610 bits"),
    ("ticks", True, TypeError, "ticks must be .*, not True"),
    ("ticks", 4.0, TypeError, "ticks must be .*, not 4.0"),
    ("ticks", np.int64(4), TypeError, "ticks must be "),
    ("ticks", 2, ValueError, "must together be at most ticks=2, not 3"),
    ("ticks_held", 4, ValueError, "must together be at most ticks=4, not 6"),
    ("ticks_late", 5, ValueError, "ticks_late must be at most ticks=4, not 5"),
    ("ticks_disabled", 3, ValueError, "must together be at most ticks=4, not 5"),
    ("start_ns", 10**18, ValueError, "end_ns must be at least start_ns="),
    ("gil_enabled", True, ValueError, "ticks_disabled must be 0 where gil_enabled is True"),
    ("gil_enabled", False, ValueError, "ticks_disabled must be 4 where gil_enabled is False"),
    ("gil_enabled", 1, TypeError, "gil_enabled must be True, False or 'mixed', not 1"),
    ("gil_enabled", "yes", ValueError, "gil_enabled must be True, False or 'mixed', not 'yes'"),
    ("method", "guess", ValueError, "method must be one of .*, not 'guess'"),
    ("method", 7, TypeError, "method must be one of .*, not 7"),
    ("clock", "x\x1b[31m", ValueError, r"clock must be one of .*, not 'x\\x1b\[31m'"),
    ("clock", 7, TypeError, "clock must be one of .*, not 7"),
    ("slice_active", 1, TypeError, "slice_active must be True or False, not 1"),
    ("floor_ns", "1", TypeError, "floor_ns must be "),
    ("sampler_id", None, TypeError, "sampler_id must be "),
    ("pid", None, TypeError, "pid must be "),
    ("knocks", 2, ValueError, "histogram must count knocks=2 waits, not 3"),
    ("wait_max_ns", 5, ValueError, "wait_max_ns must be 300 to 303, as histogram says, not 5"),
    ("wait_total_ns", 9, ValueError, "wait_total_ns must be 605 to 611, .*, not 9"),
    ("histogram", None, TypeError, "histogram must be a list, not None"),
    ("histogram", [5], TypeError, "each bucket of histogram must be a list, not 5"),
    ("histogram", [[5, 6]], ValueError, r"must be \[lower_ns, upper_ns, count\], not 2 values"),
    ("histogram", [[5, 7, 3]], ValueError, "histogram: there is no bucket from 5 to 7 ns"),
    ("histogram", [[5, 6, 0.5]], TypeError, "histogram: a histogram's numbers must be int"),
    ("merged", [], TypeError, "merged must be a dict or None, not a list of 0"),
    ("merged", {}, ValueError, "merged must have the key 'held_seconds'"),
    ("waits", 5, TypeError, "waits must be a dict or None, not 5"),
    ("waits", {}, ValueError, "waits must have the key 'first_sequence'"),
    (
        "waits",
        {"first_sequence": 0, "wait_ns": [1], "knock_ns": []},
        ValueError,
        "must be of equal length, at most knocks=3, not 1 and 0",
    ),
    (
        "waits",
        {"first_sequence": 0, "wait_ns": [1] * 4, "knock_ns": [1] * 4},
        ValueError,
        "must be of equal length, at most knocks=3, not 4 and 4",
    ),
    (
        "waits",
        {"first_sequence": 0, "wait_ns": [2**63], "knock_ns": [1]},
        ValueError,
        "each of waits.wait_ns must be ",
    ),
    ("ticks_wasted", 1, ValueError, "must not have the key 'ticks_wasted'"),
    (5, 1, ValueError, "must not have the key 5"),  # type: ignore[list-item]
]


@pytest.mark.parametrize(
    ("key", "value", "error", "message"), BAD, ids=[f"{n}-{bad[0]}" for n, bad in enumerate(BAD)]
)
def test_a_bad_value_is_refused_by_name(
    key: str, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Snapshot.from_dict({**stored(), key: value})


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("held_seconds", 1.0, ValueError, "merged.held_seconds must be at most "),
        ("held_seconds", True, TypeError, "merged.held_seconds must be a number from 0 to 1e20"),
        ("held_seconds", math.nan, ValueError, "merged.held_seconds must be .*, not nan"),
        ("enabled_seconds", 1.0, ValueError, "merged.enabled_seconds must be at most "),
        ("enabled_seconds", 10**400, ValueError, "merged.enabled_seconds must be .* 1329 bits"),
        ("enabled_seconds", "1", TypeError, "merged.enabled_seconds must be .*, not '1'"),
        ("squared_seconds_per_tick", 1.0, ValueError, "over 1 to 6 ticks, not 1.0"),
        ("squared_seconds_per_tick", 0.0, ValueError, "over 1 to 6 ticks, not 0.0"),
    ],
)
def test_bad_weights_of_a_merge_are_refused(
    name: str, value: Any, error: type[Exception], message: str
) -> None:
    data = stored_merge()
    data["merged"][name] = value
    with pytest.raises(error, match=message):
        Snapshot.from_dict(data)


def test_a_merge_has_no_origin() -> None:
    with pytest.raises(ValueError, match="sampler_id must be None in a merge, not 1"):
        Snapshot.from_dict({**stored_merge(), "sampler_id": 1})


@pytest.mark.parametrize("key", sorted(stored().keys() - {"summary", "stacks", "looks"}))
def test_a_missing_key_is_named(key: str) -> None:
    data = stored()
    del data[key]
    with pytest.raises((TypeError, ValueError), match=key):
        Snapshot.from_dict(data)


@pytest.mark.parametrize("data", [None, [], "{}", 5])
def test_only_a_dict_is_read(data: Any) -> None:
    with pytest.raises(TypeError, match="a stored snapshot must be a dict, not "):
        Snapshot.from_dict(data)


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


def test_a_value_that_cannot_be_printed_is_refused_all_the_same() -> None:
    with pytest.raises(TypeError, match=r"ticks must be .*, not a Unprintable"):
        Snapshot.from_dict({**stored(), "ticks": Unprintable()})


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 5)
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def spots(data: Any) -> list[tuple[Any, Any]]:
    """Return each (container, key) of nested containers."""
    if not isinstance(data, (dict, list)):
        return []
    here: list[tuple[Any, Any]] = [
        (data, key) for key in (data if isinstance(data, dict) else range(len(data)))
    ]
    return here + [spot for container, key in here for spot in spots(container[key])]


@given(st.sampled_from([stored, stored_merge]), st.data())
def test_damaged_data_is_refused_or_makes_a_whole_snapshot(
    make: Callable[[], dict[str, Any]], data: st.DataObject
) -> None:
    damaged = make()
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(spots(damaged)))
        if data.draw(st.booleans()):
            container[key] = data.draw(junk)
        else:
            del container[key]
    try:
        snapshot = Snapshot.from_dict(damaged)
    except (TypeError, ValueError) as error:
        assert str(error)
    else:
        assert (
            Snapshot.from_dict(snapshot.to_dict(waits=hasattr(snapshot, "wait_times"))) == snapshot
        )
        assert pickle.loads(pickle.dumps(snapshot)) == snapshot
        assert str(snapshot)
        assert (snapshot + snapshot).ticks == 2 * snapshot.ticks


@given(junk)
def test_anything_else_is_refused(data: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Snapshot.from_dict(data)


@given(any_snapshots)
def test_the_summary_is_json_that_every_reader_takes(snapshot: Snapshot) -> None:
    summary = snapshot.summary()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary == snapshot.to_dict()["summary"]
    known = snapshot.knocks > 0
    for key in ("wait_mean_ns", "wait_p50_ns", "wait_p90_ns", "wait_p99_ns", "wait_max_ns"):
        assert (summary[key] is not None) == known


def test_the_summary_of_nothing() -> None:
    summary = KnockKnock().snapshot().summary()
    assert summary["wait_p99_ns"] is None and summary["held_fraction"] is None
    assert summary["knocks"] == 0 and summary["observed_seconds"] == 0.0


TRACE = from_trace(
    {
        **dict.fromkeys(("sampler_id", "epoch", "pid", "knocks", "holds"), 0),
        **dict.fromkeys(("start_ns", "end_ns", "start_unix_ns", "end_unix_ns"), 0),
        **dict.fromkeys(("observed_ns", "in_flight_ns", "wait_total_ns", "wait_max_ns"), 0),
        **dict.fromkeys(("held_ns", "waited_ns", "thread_ns", "hold_max_ns"), 0),
        "switch_interval_ns": 5_000_000,
        "_holders": (),
    },
    b"",
    b"",
    None,
)


def test_every_key_of_the_summary_is_documented() -> None:
    text = Snapshot.summary.__doc__ or ""
    for snapshot in (KnockKnock().snapshot(), TRACE):
        assert [key for key in snapshot.summary() if f'``"{key}"``' not in text] == []


def test_every_field_of_a_thread_is_described() -> None:
    shown = pydoc.render_doc(ThreadTimes, renderer=pydoc.plaintext)
    assert "Alias for field" not in shown
    for name in ThreadTimes._fields:
        text = getattr(ThreadTimes, name).__doc__
        assert text and text in shown
        assert ("ns" in text) == name.endswith("_ns")
