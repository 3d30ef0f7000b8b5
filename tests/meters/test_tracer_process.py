"""GilTracer in a process's life: memory, threads, forks, exits, other interpreters.

Each program runs in an interpreter of its own, for what it does to the relocations is for all.
"""

from __future__ import annotations

import sys

import pytest
from needs import needs_tracer
from runs import python
from tracer_programs import runs

pytestmark = needs_tracer


def test_memory_is_taken_as_it_is_used() -> None:
    """All at once it would be 25 MB, and 10 ms with the GIL held."""
    runs(
        """
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
with GilTracer(0): pass  # imports what names need
before = resident()
tracer = GilTracer()
assert resident() - before < 3_000_000
with tracer:
    for _ in range(100_000): time.sleep(0)
assert 2_000_000 < resident() - before < 10_000_000, resident() - before
"""
    )


def test_threads_that_ended_make_room_for_others_and_are_counted() -> None:
    runs(
        """
import _thread
from gilknocker import Snapshot
from gilknocker.reports.words import caveats
SHORT = 17_000  # more than the tracer has numbers for at a time
ended = threading.Semaphore(0)
def short():
    ended.release()
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
def beget(count):
    for _ in range(count):
        _thread.start_new_thread(short, ())
        ended.acquire()
tracer = GilTracer(0)
with tracer:
    long = threading.Thread(target=spin, args=(0.2,), name="long")
    long.start(); long.join()
    beget(2_000)
    earlier, memory = tracer.snapshot(), resident()
    beget(SHORT)
    before = tracer.snapshot()
    assert resident() - memory < 500_000, resident() - memory
    together(lambda: spin(0.5), 4)
    after = tracer.snapshot()
assert not any("more threads than a trace keeps" in note for note in caveats(after))
window = after - before
assert window.waited_ns > 0.5e9, window  # of four at once: three wait at any time
names = [holder.name for holder in window.holders]
assert sum(holder.share for holder in window.holders) > 0.999
# What ended before the window is no part of it, though it was folded within it.
shares = {holder.name: holder.share for holder in window.holders}
assert shares.get("(other ended threads)", 0) < 0.01, shares
assert Snapshot.from_dict(window.to_dict()).holders == window.holders
threads = tracer.threads()
[folded] = [one for one in threads if one.name.startswith("(other ended threads: ")]
assert len(threads) < 400
count = int(folded.name[:-1].rpartition(" ")[2].replace(",", ""))
assert count + len(threads) - 1 >= SHORT + 2_000, (count, len(threads))
assert {"long", "MainThread"} <= {one.name for one in threads}  # by far the longest
total = tracer.snapshot()
program = [one for one in threads if not one.ours]
assert sum(one.held_ns for one in program) == total.held_ns
assert sum(one.waits for one in program) == total.knocks
tracer.reset()
assert not any(one.name.startswith("(other") for one in tracer.threads())
"""
    )


def test_names_of_threads_that_mattered_are_kept_though_many_came_after_them() -> None:
    runs(
        """
def short(): pass
with GilTracer(0) as tracer:
    long = threading.Thread(target=spin, args=(0.1,), name="long")
    long.start(); long.join()
    for _ in range(10_000):  # nobody asks for a name meanwhile
        thread = threading.Thread(target=short)
        thread.start(); thread.join()
    assert "long" in {holder.name for holder in tracer.snapshot().holders}
"""
    )


def test_many_threads_start_and_stop_tracers() -> None:
    runs(
        """
def work():
    for _ in range(50):
        tracer = GilTracer(100)
        try:
            with tracer:
                time.sleep(0)
                tracer.snapshot(waits=True)
        except RuntimeError as error:
            assert "at most 4 tracers" in str(error)
together(work, 8)
assert _core.trace_slots() == []
"""
    )


def test_a_tracer_that_is_dropped() -> None:
    runs(
        """
tracer = GilTracer(10)
tracer.start()
del tracer
assert _core.trace_slots() == []
with GilTracer(): pass
"""
    )


def test_tracers_that_many_threads_start_and_stop_let_threads_begin_as_before() -> None:
    runs(
        """
begins = threading.Thread._set_native_id
sys.setswitchinterval(1e-5)
tracer = GilTracer(0)
for _ in range(60):
    together(tracer.start)
    together(tracer.stop, 3)
tracer.start()
del tracer
together(time.time)  # finds that nobody listens any more
with GilTracer(0): pass
assert threading.Thread._set_native_id is begins
"""
    )


@pytest.mark.parametrize(
    "beside",
    [
        "daemon(read); daemon(read)",
        "KnockKnock(100, knock_interval_micros=100).start()",
        "daemon(spin, 9); daemon(read); KnockKnock(100, knock_interval_micros=100).start()",
    ],
    ids=["readers", "knocker", "all"],
)
def test_the_first_import_in_a_busy_process(beside: str) -> None:
    for _ in range(4):
        done = python(
            *("-X", "faulthandler", "-W", "error", "-c"),
            f"""
import os, threading, time
from gilknocker import KnockKnock
def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: pass
def read():
    with open("/dev/zero", "rb", buffering=0) as zeros:
        while True: zeros.read(1)
def daemon(work, *args):
    threading.Thread(target=work, args=args, daemon=True).start()
{beside}
time.sleep(0.02)
from gilknocker import GilTracer
assert GilTracer.supported() == (True, ""), GilTracer.supported()
os._exit(0)
""",
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_a_forked_child_has_names_of_its_own() -> None:
    runs(
        """
import _thread, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12: threads that are not there any more
tracer = GilTracer(0)
tracer.start()
for n in range(3):
    thread = threading.Thread(target=time.sleep, args=(0.01,), name=f"parent-{n}")
    thread.start()
    thread.join()
assert {"parent-0", "parent-1", "parent-2"} <= {one.name for one in tracer.threads()}
pid = os.fork()
if pid == 0:
    status = 1
    try:
        with tracer:
            for _ in range(2):
                _thread.start_new_thread(time.sleep, (0.01,))
                time.sleep(0.05)
            names = [one.name for one in tracer.threads()]
        assert names[0] == "MainThread" and not any("parent" in name for name in names), names
        status = 0
    finally:
        os._exit(status)
assert os.waitpid(pid, 0)[1] == 0
"""
    )


@pytest.mark.parametrize(
    "fork", ["os.fork()", "__import__('ctypes').PyDLL(None).fork()"], ids=["os", "raw"]
)
def test_a_forked_child_starts_clean(fork: str) -> None:
    runs(
        f"""
tracer = GilTracer()
tracer.start()
hold_gil(0.02)
slots = _core.trace_slots()
pid = {fork}
if pid == 0:
    status = 1
    try:
        assert not tracer.is_running and _core.trace_slots() == []
        assert tracer.snapshot().observed_ns == 0 and tracer.threads() == []
        tracer.stop()
        with tracer:
            hold_gil(0.01)
        assert tracer.snapshot().held_ns >= 10_000_000
        del tracer
        status = 0
    finally:
        os._exit(status)
assert os.waitpid(pid, 0)[1] == 0
assert tracer.is_running and _core.trace_slots() == slots
hold_gil(0.01)
tracer.stop()
assert tracer.snapshot().held_ns >= 30_000_000
"""
    )


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
        ("threading.Thread(target=spin, daemon=True, args=(9,)).start(); time.sleep(0.01)", 0),
        ("import atexit; atexit.register(lambda: print(tracer.snapshot().method))", 0),
        ("os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(0)'])", 0),
        ("sys.modules['kept'] = tracer; del tracer", 0),
        ("KnockKnock(100).start()", 0),
    ],
)
def test_exit_while_tracing(end: str, status: int) -> None:
    for _ in range(3):
        runs(
            f"""
tracer = GilTracer(1000)
tracer.start()
together(spin)
{end}
""",
            status=status,
        )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no own GIL")
def test_sub_interpreters() -> None:
    runs(
        """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
own = interpreters.create()
with GilTracer() as tracer:
    hold_gil(0.01)
    interpreters.run_string(own, "import time; time.sleep(0.01)")
    snapshot = tracer.snapshot()
interpreters.destroy(own)
assert 10_000_000 <= snapshot.held_ns <= snapshot.observed_ns
"""
    )
