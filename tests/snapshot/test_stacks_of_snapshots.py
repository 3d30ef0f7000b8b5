"""Stacks in snapshots: subtracted, merged, stored, and shared out; no meter runs."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from stories import MS, tell

from gilknocker import Snapshot
from gilknocker.snapshot.stacks import FOLDED, NOTHING, Blame, Frame, HeldStack, stored

MAIN = ("main", "/app/main.py", 10)
WORK = ("Worker.run", "/app/work.py", 20)
DUMP = ("JSONEncoder.iterencode", "/lib/json/encoder.py", 261)


def looked(stacks: Any = None) -> Snapshot:
    return tell(["held"] * 800 + ["free"] * 200, [5 * MS] * 10, stacks=stacks)


def with_stacks(*rows: tuple[Any, ...]) -> Snapshot:
    """Return one with these (frames, thread, held, waited, native, retaken), in looks of 1 ms."""
    return looked(tuple((*row[:2], *(looks * MS for looks in (*row[2:], 0)[:4])) for row in rows))


@pytest.fixture
def some() -> Snapshot:
    return with_stacks(
        ((MAIN, WORK, DUMP), "worker", 600, 30, 40),
        ((MAIN, WORK), "worker", 200, 10, 0),
        ((MAIN, WORK, DUMP), "MainThread", 100, 0, 0),
        ((), "", 80, 10, 0),
        (FOLDED, "", 20, 0, 0),
    )


def test_the_largest_comes_first_and_all_sum_to_the_time_held(some: Snapshot) -> None:
    stacks = some.stacks
    assert [one.thread for one in stacks] == ["worker", "worker", "MainThread", "", ""]
    assert sum(one.held_seconds for one in stacks) == pytest.approx(some.held_seconds)
    first = stacks[0]
    assert first.held_seconds == pytest.approx(0.6 * some.held_seconds)
    assert first.frames == (Frame(*MAIN), Frame(*WORK), Frame(*DUMP))
    assert first.frames[-1].function == "JSONEncoder.iterencode"
    assert (first.frames[-1].file, first.frames[-1].line) == DUMP[1:]
    assert [one.native for one in stacks] == [True, False, False, False, False]
    assert stacks[3].frames == ()
    assert "JSONEncoder.iterencode" in repr(first) and "native" in repr(first)
    assert "unknown" in repr(stacks[3])


def test_blame_shares_out_all_waits(some: Snapshot) -> None:
    rows = some.blame
    assert [row.function for row in rows] == [DUMP[0], WORK[0], "", "(others)"]
    assert sum(row.waited_seconds for row in rows) == pytest.approx(some.wait_total_ns / 1e9)
    assert sum(row.held_seconds for row in rows) == pytest.approx(some.held_seconds)
    assert rows[0].waited_seconds == pytest.approx(0.6 * some.wait_total_ns / 1e9)
    assert rows[0].held_seconds == pytest.approx(0.7 * some.held_seconds)
    assert DUMP[1] in repr(rows[0])


def test_blame_says_how_long_was_waited_for_what_was_retaken() -> None:
    snapshot = with_stacks(
        ((MAIN, WORK), "a", 500, 300, 0, 200),
        ((MAIN, DUMP), "b", 300, 100, 0, 0),
    )
    rows = snapshot.blame
    unit = snapshot.wait_total_ns / 1e9 / 400
    assert [row.retaken_seconds for row in rows] == pytest.approx([200 * unit, 0.0])
    assert Snapshot.from_dict(snapshot.to_dict()).blame == rows
    assert (snapshot + snapshot).blame[0].retaken_seconds == pytest.approx(400 * unit)
    assert (snapshot - with_stacks(((MAIN, WORK), "a", 500, 300, 0, 200))).blame[
        0
    ].retaken_seconds == 0.0


def test_stacks_seen_before_the_first_tick_was_counted_take_no_time() -> None:
    snapshot = tell([], [], stacks=(((MAIN,), "a", 5, 0, 0, 0),))
    assert [one.held_seconds for one in snapshot.stacks] == [0.0]
    assert [row.held_seconds for row in snapshot.blame] == [0.0]


def test_without_stacks_there_are_none() -> None:
    assert looked().stacks == ()
    assert looked().blame == ()
    assert looked().to_dict()["stacks"] is None


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_parts_can_be_copied(some: Snapshot, copied: Any) -> None:
    for part in (some, some.stacks[0], some.blame[0], some.stacks[0].frames[0]):
        assert copied(part) == part
        assert type(copied(part)) is type(part)


def test_json_and_back(some: Snapshot) -> None:
    data = json.loads(json.dumps(some.to_dict()))
    assert len(data["stacks"]["frames"]) == 4  # each once
    again = Snapshot.from_dict(data)
    assert again == some
    assert again.stacks == some.stacks
    assert hash(again) == hash(some)


def test_a_stored_snapshot_of_1_0_has_no_stacks(some: Snapshot) -> None:
    data = some.to_dict()
    del data["stacks"]
    assert Snapshot.from_dict(data).stacks == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(more=1), "frames and stacks"),
        (lambda s: s.update(frames=1), "must be a list"),
        (lambda s: s["frames"].append(["f", "file"]), r"\[function, file, line\]"),
        (lambda s: s["frames"].append(["f", "file", -1]), "a line must be"),
        (lambda s: s["frames"].append(["f", 7, 1]), r"\[function, file, line\]"),
        (lambda s: s["stacks"][0].pop("thread"), "each of stacks must be"),
        (lambda s: s["stacks"][0].update(thread=1), "stacks.thread must be a str"),
        (lambda s: s["stacks"][0]["frames"].append(99), "from 0 to 3"),
        (lambda s: s["stacks"][0]["frames"].append(True), "from 0 to 3"),
        (lambda s: s["stacks"][0].update(held_ns=-1), "stacks.held_ns must be"),
        (lambda s: s["stacks"][0].update(held_ns=1.5), "stacks.held_ns must be"),
        (lambda s: s["stacks"][0].update(waited_ns=2**62), "at most held_ns"),
        (lambda s: s["stacks"][0].update(retaken_ns=2**62), "at most waited_ns"),
        (lambda s: s["stacks"][0].pop("retaken_ns"), "each of stacks must be"),
    ],
)
def test_what_cannot_be_is_refused(some: Snapshot, change: Any, message: str) -> None:
    data = json.loads(json.dumps(some.to_dict()))
    change(data["stacks"])
    with pytest.raises((TypeError, ValueError), match=message):
        Snapshot.from_dict(data)


def test_a_difference_is_what_came_after() -> None:
    earlier = with_stacks(((MAIN,), "a", 5, 1, 0), ((WORK,), "a", 3, 0, 0))
    later = with_stacks(((MAIN,), "a", 7, 2, 1), ((WORK,), "a", 3, 0, 0), ((WORK,), "b", 4, 0, 0))
    window = later - earlier
    assert window._stacks == (
        ((MAIN,), "a", 2 * MS, 1 * MS, 1 * MS, 0),
        ((WORK,), "b", 4 * MS, 0, 0, 0),
    )


def test_a_merge_adds_up_equal_stacks() -> None:
    a = with_stacks(((MAIN,), "a", 5, 1, 0), ((WORK,), "a", 3, 0, 0))
    b = with_stacks(((MAIN,), "a", 7, 2, 1), ((MAIN,), "b", 4, 0, 0))
    assert (a + b)._stacks == (
        ((MAIN,), "a", 12 * MS, 3 * MS, 1 * MS, 0),
        ((WORK,), "a", 3 * MS, 0, 0, 0),
        ((MAIN,), "b", 4 * MS, 0, 0, 0),
    )
    assert (looked() + looked())._stacks is None


@pytest.mark.parametrize("seen", [4, 8])  # of the 8 ms that it was held: half the looks were late
def test_what_a_part_without_stacks_held_is_of_the_unknown(seen: int) -> None:
    a, b = with_stacks(((MAIN,), "a", seen, 2, 0)), looked()
    for merge in (a + b, b + a):
        held = {stack.frames: stack.held_seconds for stack in merge.stacks}
        assert held == pytest.approx({(Frame(*MAIN),): a.held_seconds, (): b.held_seconds})
        waited = {row.function: row.waited_seconds for row in merge.blame}
        assert sum(waited.values()) == pytest.approx((a.wait_total_ns + b.wait_total_ns) / 1e9)
        assert waited[MAIN[0]] == pytest.approx(a.wait_total_ns / 1e9)
        assert Snapshot.from_dict(merge.to_dict()) == merge
    nothing = tell([], [])
    assert (a + nothing)._stacks == a._stacks


def test_what_the_core_read_is_stored_by_name_and_in_time() -> None:
    read = (
        [((MAIN,), 3, (2, 1, 0, 1)), ((MAIN,), 4, (1, 0, 0, 0)), ((MAIN,), 9, (5, 0, 0, 0))],
        NOTHING,
        (6, 2, 0, 0),
    )
    assert stored(read, 500, {3: "pool", 4: "pool"}) == (
        ((MAIN,), "pool", 1_500, 500, 0, 500),
        ((MAIN,), "", 2_500, 0, 0, 0),
        ((), "", 3_000, 1_000, 0, 0),
    )
    no_code = ((("(no Python code)", "", 0),), "", 500, 0, 0, 0)
    assert stored(([((), 1, (1, 0, 0, 0))], NOTHING, NOTHING), 500, {}) == (no_code,)
    assert stored(([], (4, 0, 0, 0), NOTHING), 500, {}) == ((FOLDED, "", 2_000, 0, 0, 0),)


def test_types() -> None:
    frame = Frame("f", "file", 3)
    stack = HeldStack((frame,), "thread", 1.5, True)
    assert tuple(stack) == ((frame,), "thread", 1.5, True)
    assert tuple(Blame("f", "file", 1.0, 2.0)) == ("f", "file", 1.0, 2.0, 0.0)
    assert "retaken" not in repr(Blame("f", "file", 1.0, 2.0))
    assert "waited for 2.000 s, 1.500 s of it retaken" in repr(Blame("f", "file", 1.0, 2.0, 1.5))
    with pytest.raises(AttributeError):
        stack.native = False  # type: ignore[misc]


def test_waits_that_no_look_saw_are_of_the_unknown(some: Snapshot) -> None:
    fields = some.to_dict()
    fields["stacks"]["stacks"] = [{**one, "waited_ns": 0} for one in fields["stacks"]["stacks"]]
    blamed = Snapshot.from_dict(fields).blame
    assert sum(one.waited_seconds for one in blamed) == pytest.approx(some.wait_total_ns / 1e9)
    assert (blamed[0].function, blamed[0].held_seconds) == ("", 0.0)
