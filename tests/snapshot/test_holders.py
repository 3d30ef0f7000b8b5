"""Who held the GIL, by looks: KnockKnock.holders() and what snapshots keep of it."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable

import pytest
from needs import needs_gil

from gilknocker import Holder, KnockKnock, Snapshot
from gilknocker.testing import hold_gil, release_gil

pytestmark = [
    needs_gil,
    pytest.mark.skipif(
        KnockKnock().snapshot().method != "look", reason="looks are not possible here"
    ),
]


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def in_thread(name: str, work: Callable[[], object]) -> int:
    thread = threading.Thread(target=work, name=name)
    thread.start()
    thread.join()
    assert thread.native_id is not None
    return thread.native_id


def shares(knocker: KnockKnock) -> dict[str, float]:
    return {holder.name: holder.share for holder in knocker.holders()}


def test_the_one_that_holds_it_has_it_all() -> None:
    with KnockKnock(500) as knocker:
        native_id = in_thread("busy", lambda: spin(0.3))
        holders = knocker.holders()
    assert holders[0].name == "busy" and holders[0].share > 0.8
    assert holders[0].native_id in (native_id, 0)  # Python 3.10 does not keep it
    assert sum(holder.share for holder in holders) == pytest.approx(1)
    assert [h.share for h in holders] == sorted((h.share for h in holders), reverse=True)


def test_names_of_threads_that_are_gone_are_found_by_knocks() -> None:
    with KnockKnock(500, knock_interval_micros=2_000) as knocker:
        for n in range(3):
            in_thread(f"gone-{n}", lambda: spin(0.15))
        found = shares(knocker)
    assert {"gone-0", "gone-1", "gone-2"} <= found.keys()
    assert min(found[f"gone-{n}"] for n in range(3)) > 0.05


def test_a_thread_has_not_the_name_of_the_next_with_its_ident() -> None:
    truth = {}

    def work() -> None:
        truth[threading.get_native_id()] = threading.current_thread().name
        spin(0.003)

    with KnockKnock(500, knock_interval_micros=500) as knocker:
        for n in range(60):
            in_thread(f"request-{n}", work)
        holders = knocker.holders()
    named = [one for one in holders if one.name.startswith("request") and one.native_id]
    assert [one.name for one in named] == [truth[one.native_id] for one in named]


def test_two_that_take_turns_share_it() -> None:
    with KnockKnock(500) as knocker:
        threads = [threading.Thread(target=spin, args=(0.5,), name=f"turns-{n}") for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = shares(knocker)
    # Turns of 5 ms, and more on a busy machine: a hundred of them.
    assert 0.2 < found["turns-0"] < 0.8 and 0.2 < found["turns-1"] < 0.8


def test_who_does_without_it_holds_nothing() -> None:
    with KnockKnock(500) as knocker:
        worker = threading.Thread(target=release_gil, args=(0.3,), name="without")
        worker.start()
        spin(0.2)
        worker.join()
        assert shares(knocker).get("without", 0.0) < 0.2
        assert shares(knocker)["MainThread"] > 0.7


def test_a_reset_forgets_them() -> None:
    with KnockKnock(500) as knocker:
        hold_gil(0.1)
        assert knocker.holders()
        knocker.reset_contention_metric()
        in_thread("later", lambda: spin(0.2))
        assert shares(knocker)["later"] > 0.5


def test_a_window_has_those_of_the_window() -> None:
    with KnockKnock(500) as knocker:
        in_thread("first", lambda: spin(0.2))
        before = knocker.snapshot()
        in_thread("second", lambda: spin(0.2))
        window = knocker.snapshot() - before
    found = {holder.name: holder.share for holder in window.holders}
    assert found["second"] > 0.8 and "first" not in found
    merged = {holder.name: holder.share for holder in (before + window).holders}
    assert 0.3 < merged["first"] < 0.7 and 0.3 < merged["second"] < 0.7


def test_they_are_stored() -> None:
    with KnockKnock(500) as knocker:
        in_thread('odd "<name>"\n\N{SNOWMAN}' + "x" * 100, lambda: spin(0.2))
        snapshot = knocker.snapshot()
    assert Snapshot.from_dict(snapshot.to_dict()).holders == snapshot.holders
    assert pickle.loads(pickle.dumps(snapshot)).holders == snapshot.holders
    holder = snapshot.holders[0]
    assert holder.name.startswith('odd "<name>"\n\N{SNOWMAN}xxx')
    assert pickle.loads(pickle.dumps(holder)) == holder
    assert eval(repr(holder), {"Holder": Holder}) == holder


def test_an_idle_process_has_few() -> None:
    with KnockKnock(500) as knocker:
        time.sleep(0.2)
    assert len(knocker.holders()) <= 1


def test_what_was_told_of_a_thread_stays() -> None:
    knocker = KnockKnock(500, knock_interval_micros=10_000_000)  # no knock finds out its name
    go = threading.Event()
    thread = threading.Thread(target=lambda: (hold_gil(0.1), go.wait()), name="told")
    with knocker:
        thread.start()
        time.sleep(0.15)
    seen = knocker.snapshot()
    assert seen.holders[0].name == "told"
    go.set()
    thread.join()
    assert knocker.snapshot() == seen
