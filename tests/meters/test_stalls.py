"""Stalls told of while they last, to whatever a descriptor leads to."""

from __future__ import annotations

import fcntl
import gc
import io
import json
import os
import pickle
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from needs import needs_gil
from waiting import wait_until

from gilknocker import Stall, StallWatch, _core, watch_stalls
from gilknocker._load import hold_gil

pytestmark = needs_gil
PROBLEM = _core.look_problem()
needs_stacks = pytest.mark.skipif(
    _core.stack_problem() is not None, reason=str(_core.stack_problem())
)
if PROBLEM is not None:
    pytest.skip(PROBLEM, allow_module_level=True)

TOLERATED = "100 ms"


def hold(seconds: float) -> None:
    """Sleep, and keep the GIL meanwhile."""
    hold_gil(seconds, sleep=True)


class Pipe:
    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)

    def read(self) -> str:
        try:
            return os.read(self.read_end, 1 << 20).decode()
        except BlockingIOError:
            return ""

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.read().splitlines()]

    def fill(self) -> int:
        os.set_blocking(self.write_end, False)
        filled = 0
        try:
            while True:
                filled += os.write(self.write_end, bytes(4096))
        except BlockingIOError:
            os.set_blocking(self.write_end, True)
        return filled

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    one = Pipe()
    yield one
    one.close()


def stall_until(condition: Callable[[], object]) -> None:
    """Stall until that is seen: a watch that has no CPU misses some."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        hold(0.4)
        time.sleep(0.05)


def told_of(pipe: Pipe) -> tuple[Stall, list[dict[str, Any]], threading.Thread, int]:
    """Have a thread stall: return that, what was told of it, the thread, and how long all took."""
    # So long that a watch which has no CPU for half a second sees it.
    holder = threading.Thread(target=hold, args=(1.2,), name="hölder")
    begun = time.monotonic_ns()
    with watch_stalls(TOLERATED, pipe.write_end, format="json") as watch:
        holder.start()  # it begins when the watch is on
        holder.join()
        wait_until(lambda: "hölder" in [one.thread for one in watch.stalls])
    took = time.monotonic_ns() - begun  # until its end was seen
    # On a busy machine other code may stall, too.
    [stall] = [one for one in watch.stalls if one.thread == "hölder"]
    return stall, [one for one in pipe.lines() if one["number"] == stall.number], holder, took


def test_a_stall_is_told_of_with_thread_line_and_who_waits(pipe: Pipe) -> None:
    stop = threading.Event()

    def want() -> None:
        while not stop.is_set():
            time.sleep(0.001)

    waiter = threading.Thread(target=want, name="waiter")
    waiter.start()
    deadline = time.monotonic() + 60
    while True:  # who has no CPU to ask for the GIL does not wait for it
        stall, (begin, *_, end), holder, took = told_of(pipe)
        # musl's threads wait elsewhere.
        if begin["waiters"] is None or "waiter" in {one["name"] for one in begin["waiting"]}:
            break
        assert time.monotonic() < deadline, begin
    stop.set()
    waiter.join()
    assert (begin["event"], end["event"]) == ("begin", "end")
    assert begin["thread"] == end["thread"] == stall.thread
    assert 100e6 <= begin["held_ns"] < end["held_ns"] == stall.held_ns <= took
    assert begin["pid"] == os.getpid()
    assert abs(time.time_ns() - stall.since_unix_ns) < 60e9
    assert abs(time.monotonic_ns() - stall.since_ns) < 60e9
    if _core.stack_problem() is None:
        assert begin["frames"][-1][:2] == ["hold", __file__]
        first = hold.__code__.co_firstlineno
        assert stall.frames[-1].line == first + 2
        assert stall.frames[0].function.endswith("_bootstrap")
    if sys.version_info >= (3, 11):
        assert stall.native_id == holder.native_id
        assert stall.cpu_share is not None
        assert stall.cpu_share < 0.5


@needs_stacks
def test_as_text_it_is_a_block_as_of_a_traceback_and_a_line_at_the_end(pipe: Pipe) -> None:
    with watch_stalls(TOLERATED, pipe.write_end) as watch:
        stall_until(lambda: watch.stalls)
    begin, *rest, end = pipe.read().splitlines()
    assert f"stall 1 of process {os.getpid()}: thread 'MainThread'" in begin
    assert any(line.lstrip().startswith(f'File "{__file__}", line ') for line in rest)
    last = watch.stalls[-1].number  # 1, but a watch that has no CPU misses the end of the first
    assert end.startswith(f"gilknocker: stall {last} of process {os.getpid()} is over: ")


def test_it_is_told_of_again_after_a_second(pipe: Pipe) -> None:
    with watch_stalls(TOLERATED, pipe.write_end, format="json") as watch:
        hold(2.5)  # also if the watch has no CPU for half a second
        wait_until(lambda: any(one.held_ns > 1e9 for one in watch.stalls))
    [stall] = [one for one in watch.stalls if one.held_ns > 1e9]
    begin, *more, end = [one["event"] for one in pipe.lines() if one["number"] == stall.number]
    assert (begin, set(more), end) == ("begin", {"again"}, "end")


def test_python_code_gives_way_and_is_no_stall(pipe: Pipe) -> None:
    # The host may take the CPU away for half a second, and with it the GIL.
    with watch_stalls("1 s", pipe.write_end) as watch:
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            pass
        assert watch.stalls == ()
    assert pipe.read() == ""


@needs_stacks
def test_a_collection_of_garbage_says_so(pipe: Pipe) -> None:
    class Slow:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            hold(0.6)

    def held_by(watch: StallWatch) -> dict[str, int | None]:
        """Return by whom `hold` was called, and in a collection of what generation."""
        return {
            one.frames[-2].function: one.collecting
            for one in watch.stalls
            if [frame.function for frame in one.frames[-1:]] == ["hold"]  # other code may stall
        }

    slow = "__del__" if sys.version_info < (3, 11) else Slow.__del__.__qualname__
    here = test_a_collection_of_garbage_says_so.__name__
    with watch_stalls(TOLERATED, pipe.write_end, format="json") as watch:
        deadline = time.monotonic() + 60
        while not held_by(watch).keys() >= {slow, here}:  # a watch that has no CPU misses some
            assert time.monotonic() < deadline, watch.stalls
            Slow()
            gc.collect()
            hold(0.6)
            time.sleep(0.05)
    assert (held_by(watch)[slow], held_by(watch)[here]) == (2, None)


def test_the_callback_gets_each_that_is_over(pipe: Pipe) -> None:
    seen: list[Stall] = []
    with watch_stalls(TOLERATED, pipe.write_end, seen.append):
        stall_until(lambda: len(seen) >= 2)
    assert [one.number for one in seen] == list(range(1, len(seen) + 1))
    assert isinstance(seen[0], Stall)
    assert pickle.loads(pickle.dumps(seen[0])) == seen[0]
    with pytest.raises(AttributeError):
        seen[0].thread = "another"  # type: ignore[misc]
    assert "<Stall 1: " in repr(seen[0])


def told_to_a_callback_that_raises(pipe: Pipe) -> list[Stall]:
    seen: list[Stall] = []

    def callback(stall: Stall) -> None:
        seen.append(stall)
        raise ZeroDivisionError

    with watch_stalls(TOLERATED, pipe.write_end, callback):
        stall_until(lambda: len(seen) >= 2)
    return seen


def test_what_a_callback_raises_is_reported_and_the_next_is_called(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    seen = told_to_a_callback_that_raises(pipe)
    assert [one.exc_type for one in raised] == [ZeroDivisionError] * len(seen)


def test_a_hook_that_raises_ends_no_watch(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []

    def raises(what: Any) -> None:
        raise KeyError(what)

    monkeypatch.setattr(threading, "excepthook", raises)
    monkeypatch.setattr(sys, "excepthook", lambda *error: [raised.append(error[0]), raises(error)])
    seen = told_to_a_callback_that_raises(pipe)
    assert raised == [KeyError] * len(seen)


def test_where_nobody_listens_what_a_callback_raises_is_printed() -> None:
    status, stderr = run(
        """
        calls = []
        def callback(stall):
            calls.append(stall)
            raise ZeroDivisionError("of a callback")
        watch_stalls('100 ms', open(os.devnull, 'w'), callback)
        while len(calls) < 2: hold(0.4), time.sleep(0.05)
        """
    )
    assert status == 0
    assert stderr.count("ZeroDivisionError: of a callback") >= 2


def test_a_callback_may_stop_the_watch(pipe: Pipe) -> None:
    stopped = threading.Event()

    def callback(_: Stall) -> None:
        watch.stop()
        stopped.set()

    watch = watch_stalls(TOLERATED, pipe.write_end, callback)
    stall_until(stopped.is_set)
    assert not watch.is_running


def test_nothing_of_it_stays() -> None:
    method = threading.Thread._set_native_id  # type: ignore[attr-defined]
    callbacks = list(gc.callbacks)
    first, second = watch_stalls(), watch_stalls("1 s", callback=print)
    assert gc.callbacks.count(_core.note_collection) == 1
    first.stop()
    assert _core.note_collection in gc.callbacks
    second.stop()
    second.stop()
    assert gc.callbacks == callbacks
    assert threading.Thread._set_native_id is method  # type: ignore[attr-defined]


# ---- where it leads ------------------------------------------------------------------------------


def test_a_pipe_that_nobody_reads_stops_nothing(pipe: Pipe) -> None:
    filled = pipe.fill()
    flags = fcntl.fcntl(pipe.write_end, fcntl.F_GETFL)
    with watch_stalls(TOLERATED, pipe.write_end) as watch:
        stall_until(lambda: watch.stalls)
        assert os.read(pipe.read_end, filled) == bytes(filled)
        before = len(watch.stalls)
        stall_until(lambda: len(watch.stalls) > before)
    assert "Not told of before this: " in pipe.read()
    assert fcntl.fcntl(pipe.write_end, fcntl.F_GETFL) == flags  # blocking, as it was


def test_a_pipe_whose_reader_is_gone_stops_nothing() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with watch_stalls(TOLERATED, write_end) as watch:
        stall_until(lambda: watch.stalls)
    os.close(write_end)


def test_what_gets_the_number_of_a_closed_descriptor_gets_nothing(tmp_path: Path) -> None:
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    with watch_stalls(TOLERATED, log) as watch:
        os.close(log)
        stall_until(lambda: watch.stalls)
        data = os.open(tmp_path / "data", os.O_WRONLY | os.O_CREAT)
        assert data == log
        before = len(watch.stalls)
        stall_until(lambda: len(watch.stalls) > before)
    os.close(data)
    assert (tmp_path / "data").read_bytes() == (tmp_path / "log").read_bytes() == b""


def test_to_a_file_it_is_written_where_the_program_writes_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as log, watch_stalls(TOLERATED, log) as watch:
        log.write("before\n")
        log.flush()
        stall_until(lambda: watch.stalls)
        log.write("after\n")
    lines = path.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert "has held the GIL for" in lines[1]


def test_a_socket_will_do() -> None:
    here, there = socket.socketpair()
    with here, there, watch_stalls(TOLERATED, here, format="json") as watch:  # type: ignore[arg-type]
        stall_until(lambda: watch.stalls)
        assert json.loads(there.recv(1 << 16).splitlines()[0])["event"] == "begin"


# ---- processes -----------------------------------------------------------------------------------

PREAMBLE = """
import os, sys, time
from gilknocker import watch_stalls
from gilknocker._load import hold_gil
hold = lambda seconds: hold_gil(seconds, sleep=True)
"""


def run(program: str, *arguments: str, **options: Any) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(program), *arguments],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        **options,
    )
    return done.returncode, done.stderr


def test_it_comes_while_the_gil_is_held() -> None:
    program = PREAMBLE + "watch_stalls('200 ms', format='json')\nhold(60)\n"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        line = json.loads(process.stderr.readline())
        came = time.monotonic_ns() - line["since_ns"]
        process.kill()
    assert came < 60e9  # how soon: benchmarks/stalls.py holds 0.25 s


def test_it_goes_on_though_nobody_keeps_it_and_ends_with_the_program() -> None:
    status, stderr = run("watch_stalls('100 ms', callback=lambda stall: None)\nhold(1)\n")
    assert status == 0
    assert "has held the GIL" in stderr


def test_a_forked_child_has_a_watch_of_its_own_and_one_that_was_stopped_has_none() -> None:
    status, stderr = run(
        """
        watch = watch_stalls('100 ms', format='json')
        def fork():
            child = os.fork()
            if child == 0:
                hold(1)
                time.sleep(0.2)
                os._exit(0 if watch.is_running else 3)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert fork() == 0
        hold(1)
        time.sleep(0.2)
        watch.stop()
        assert fork() == 3
        """
    )
    assert status == 0, stderr
    lines = [json.loads(line) for line in stderr.splitlines()]
    # Each counts from 1; on a busy machine there may be more than the one that it holds.
    assert len({line["pid"] for line in lines}) == 2
    for pid in {line["pid"] for line in lines}:
        numbers = [one["number"] for one in lines if (one["pid"], one["event"]) == (pid, "begin")]
        assert numbers == list(range(1, len(numbers) + 1))


def test_with_stderr_closed_nothing_is_written_and_callbacks_are_called() -> None:
    status, stderr = run(
        """
        os.close(2)
        seen = []
        watch = watch_stalls('100 ms', callback=seen.append)
        data = os.open(sys.argv[1], os.O_WRONLY)
        while not seen: hold(0.4), time.sleep(0.05)
        watch.stop()
        sys.exit(7 if data == 2 else 0)
        """,
        os.devnull,
    )
    assert (status, stderr) == (7, "")


def test_a_stall_in_an_import_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("from gilknocker._load import hold_gil\n\nhold_gil(1)\n")
    status, stderr = run("watch_stalls('100 ms')\nimport slow\n", cwd=tmp_path)
    assert status == 0
    if _core.stack_problem() is None:
        assert 'slow.py", line 3, in <module>' in stderr


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"longer_than": 0.2}, TypeError, "longer_than must be a duration .*, not 0.2"),
        ({"longer_than": "5 ms"}, ValueError, "longer_than must be from 10 ms to 3600 s, not '5"),
        ({"longer_than": "2 h"}, ValueError, "longer_than must be a duration"),
        ({"file": "stalls.log"}, TypeError, "file must be a file object .*, not 'stalls.log'"),
        ({"file": io.StringIO()}, ValueError, "file must be .*, its descriptor .*: fileno"),
        ({"file": Mock(fileno=lambda: None)}, TypeError, "file must be .*, not <Mock"),
        ({"file": -1}, ValueError, "file must be a descriptor, 0 or more, not -1"),
        ({"file": 2**20}, OSError, "Bad file descriptor|No file descriptors available"),
        ({"callback": 3}, TypeError, "callback must be callable or None, not 3"),
        ({"format": "xml"}, ValueError, "format must be 'text' or 'json', not 'xml'"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        watch_stalls(**arguments)


def test_a_watch_is_not_copied() -> None:
    with watch_stalls() as watch, pytest.raises(TypeError, match="its stalls can"):
        pickle.dumps(watch)
    assert repr(watch) == "<StallWatch for longer than 200 ms, stopped>"
