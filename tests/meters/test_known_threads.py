"""Names of threads, whatever the program made of the module threading."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from needs import needs_gil, needs_tracer
from runs import metered

from gilknocker import GilTracer, KnockKnock, Snapshot
from gilknocker.meters.known_threads import known_threads, name_by_native_id, name_of

PID = os.getpid()
HERE = (threading.get_native_id(), threading.get_ident())


class Greenlet(threading.Thread):
    """What greenlets are for threading: an ident of their own, the number of their thread."""

    def __init__(self, name: object, native_id: int | None = PID) -> None:
        self._name, self._ident = name, id(self)  # type: ignore[assignment]
        if native_id is not None:
            self._native_id = native_id  # like gevent 24.2.1: no attribute at all


@pytest.fixture
def active(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, Any]]:
    """What threading knows; the main thread as with greenlets, under an ident of theirs."""
    main = threading.main_thread()
    monkeypatch.setattr(main, "_ident", 12345)
    active: dict[int, Any] = {12345: main}
    monkeypatch.setattr(threading, "_active", active)
    yield active
    monkeypatch.undo()


def add(active: dict[int, Any], *greenlets: Greenlet) -> None:
    active.update({id(greenlet): greenlet for greenlet in greenlets})


def test_the_main_thread_keeps_its_name_among_greenlets(active: dict[int, Any]) -> None:
    add(active, *(Greenlet(f"g-{n}") for n in range(3)), *(Greenlet("g", None) for _ in range(3)))
    assert name_of(*HERE) == "MainThread"
    assert name_by_native_id() == {PID: "MainThread"}
    assert len(known_threads()) == 7


def test_of_another_thread_one_greenlet_tells_the_name_and_many_tell_none(
    active: dict[int, Any],
) -> None:
    add(active, Greenlet("worker", 77))
    assert name_of(77, 999) == "worker"
    add(active, Greenlet("other", 77))
    assert name_of(77, 999) == "" and 77 not in name_by_native_id()


def test_without_a_native_id_the_first_thread_is_the_main_one(active: dict[int, Any]) -> None:
    # As of Python 3.10, which does not tell that of who holds the GIL.
    assert name_of(0, threading.get_ident()) == "MainThread"
    assert name_of(0, 999) == ""


@pytest.mark.parametrize("native_id", [None, 1])
def test_the_main_thread_of_a_forked_child(
    active: dict[int, Any], monkeypatch: pytest.MonkeyPatch, native_id: int | None
) -> None:
    # Before 3.13.1 it has its parent's number, and with gevent it may have none.
    monkeypatch.setattr(threading.main_thread(), "_native_id", native_id)
    assert name_of(*HERE) == "MainThread"
    assert name_by_native_id()[PID] == "MainThread"


def test_an_embedded_main_thread_is_not_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, args=(10,), name="another")
    thread.start()
    try:
        monkeypatch.setattr(threading.main_thread(), "_native_id", thread.native_id)
        assert name_of(PID, 999) == ""
        assert name_of(thread.native_id or 0, 999) == "MainThread"
    finally:
        done.set()
        thread.join()


class Hostile:
    """An object that raises whatever it is asked for."""

    def __getattribute__(self, name: str) -> Any:
        raise ZeroDivisionError(name)


class Properties(threading.Thread):
    _name = property(lambda self: 1 / 0)  # type: ignore[assignment]
    _native_id = property(lambda self: 1 / 0)

    def __init__(self) -> None:
        pass


class Name(str):
    def __str__(self) -> str:
        raise ZeroDivisionError


def no_active() -> None:
    del threading._active  # type: ignore[attr-defined]


def active_of(value: object) -> Callable[[], None]:
    return lambda: setattr(threading, "_active", value)


@pytest.mark.parametrize(
    "spoil",
    [
        no_active,
        *map(active_of, [None, [], 5, Hostile(), {1: Hostile()}, {"x": None}]),
        active_of({1: Properties()}),
        active_of({1: Greenlet(5), 2: Greenlet(b"x", -1), 3: Greenlet(None, 2**70)}),
        active_of({1: Greenlet(Name("odd"), 2**64)}),
        active_of({1: threading.Thread.__new__(threading.Thread)}),
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_nothing_that_threading_says_takes_a_measurement_with_it(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[], None]
) -> None:
    monkeypatch.setattr(threading, "_active", threading._active)  # type: ignore[attr-defined]
    meters: list[Any] = [KnockKnock(500)]
    if GilTracer.supported()[0]:
        meters.append(GilTracer(0))
    spoil()
    for meter in meters:
        with meter:
            time.sleep(0.02)
            end = time.monotonic() + 0.05
            while time.monotonic() < end:
                pass
        snapshot = meter.snapshot()
        assert Snapshot.from_dict(json.loads(json.dumps(snapshot.to_dict()))) == snapshot
        for holder in snapshot.holders:
            if holder.native_id in (PID, 0):
                assert holder.name == "MainThread"
    monkeypatch.undo()


def test_a_name_is_a_plain_str() -> None:
    thread = Greenlet(Name("odd"), 77)
    threading._active[77] = thread  # type: ignore[attr-defined]
    try:
        name = name_by_native_id()[77]
    finally:
        del threading._active[77]  # type: ignore[attr-defined]
    assert type(name) is str and name == "odd"


UNINITIALISED = """
import threading, time

class Broken(threading.Thread):
    def __init__(self):
        pass

threading._active[1] = Broken()
end = time.monotonic() + 0.1
while time.monotonic() < end:
    pass
print("done")
"""


@needs_gil
@pytest.mark.parametrize("options", [(), pytest.param(("--trace",), marks=needs_tracer)])
def test_a_thread_that_was_never_initialised(options: tuple[str, ...]) -> None:
    done = metered("-c", UNINITIALISED, options=options)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert "MainThread" in done.report


@needs_tracer
def test_names_of_many_threads_take_little_room() -> None:
    from gilknocker.meters import tracing

    names = tracing.NAMES
    with GilTracer(0):
        for n in range(10):
            greenlet = Greenlet(f"g-{n}")
            greenlet._set_native_id()  # type: ignore[attr-defined]
        assert names._begun == {}
        thread = threading.current_thread()
        for _ in range(10):
            thread._set_native_id()  # type: ignore[attr-defined]
        assert list(names._begun) == [PID] and len(names._begun[PID]) <= 4
    assert names._begun == {}
