"""The pointers that GilTracer redirects: back as they were, and never over somebody else's.

Each program runs in an interpreter of its own, for what it does to the relocations is for all.
"""

from __future__ import annotations

from needs import needs_tracer
from runs import python
from tracer_programs import TESTS, runs

pytestmark = needs_tracer


def test_an_interpreter_that_never_contended() -> None:
    """Its relocations may still lead to the stub that binds at the first call."""
    done = python(
        "-c",
        "from gilknocker import GilTracer\n"
        "tracer = GilTracer(10)\n"
        "tracer.start()\n"
        "for _ in range(5): __import__('time').sleep(0)\n"
        "tracer.stop()\n"
        "assert tracer.snapshot().holds == 5, tracer.snapshot()\n",
        env={"LD_BIND_NOW": ""},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_stopped_the_relocations_are_what_they_were() -> None:
    runs(
        """
import ctypes
def read_maps():
    with open("/proc/self/maps") as maps:
        return maps.read()
tracer = GilTracer()
together(spin)  # binds what is bound at the first call
tracer.start()
slots = _core.trace_slots()
hooked = pointers(slots)
tracer.stop()
before = pointers(slots)
maps = read_maps()
for _ in range(3):
    with tracer, GilTracer():
        assert _core.trace_slots() == slots and pointers(slots) == hooked
        together(spin)
    assert _core.trace_slots() == [] and pointers(slots) == before
for one, other in zip(hooked, before):
    assert one != other
protections = lambda maps: [
    line.split()[1] for line in maps.splitlines()
    for slot in slots
    if int(line.split("-")[0], 16) <= slot < int(line.split("-")[1].split()[0], 16)]
assert protections(maps) == protections(read_maps())
"""
    )


def test_no_file_is_read_to_start() -> None:
    """The list of mappings, above all: half a second where they are many, with the GIL held."""
    runs(
        """
import resource
with GilTracer(0): pass  # imports what names need
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (0, most))
with GilTracer(0) as tracer:
    time.sleep(0)
assert tracer.snapshot().holds == 1
"""
    )


def test_start_and_stop_while_threads_sit_in_redirected_calls() -> None:
    runs(
        """
stop = []
def work():
    while not stop:
        spin(0.001)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
tracer = GilTracer(1000)
for n in range(100):
    with tracer:
        time.sleep(0.0003 * (n % 5))
stop.append(1)
for thread in threads: thread.join()
snapshot = tracer.snapshot()
assert snapshot.held_ns <= snapshot.observed_ns, snapshot
"""
    )


def test_somebody_else_s_pointers_are_never_overwritten() -> None:
    runs(
        """
from oracle import Oracle
tracer = GilTracer()
with Oracle():
    theirs = None
    try:
        tracer.start()
    except RuntimeError as error:
        assert str(error).endswith("redirected by somebody else"), error
    else:
        raise AssertionError
    assert not tracer.is_running
    time.sleep(0)
with tracer:
    time.sleep(0)
assert tracer.snapshot().holds == 1
"""
    )


def test_where_it_is_redirected_from_the_start_it_says_so() -> None:
    done = python(
        "-c",
        f"""
import sys
sys.path.insert(0, {TESTS!r})
from oracle import Oracle
with Oracle():
    from gilknocker import GilTracer, GilTracerUnsupported
    print(GilTracer.supported())
    try:
        GilTracer()
    except GilTracerUnsupported as error:
        print(error)
""",
    )
    supported, error = done.stdout.splitlines()[:2]
    sentence = (
        "The GIL cannot be traced here: the interpreter's pthread_cond_* are redirected by "
        "somebody else."
    )
    assert supported == str((False, sentence)) and error == sentence


def test_somebody_who_comes_after_us() -> None:
    """Who changes a pointer while we have it keeps it: we pass on, and leave it at the end."""
    runs(
        """
import ctypes
tracer = GilTracer()
tracer.start()
slots = _core.trace_slots()
hooks = pointers(slots)
libc = ctypes.CDLL(None)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
def write(value):  # as somebody who knows that the page may be read-only, again after our stop
    libc.mprotect(slots[0] & ~4095, 4096, 3)
    ctypes.c_void_p.from_address(slots[0]).value = value
other = ctypes.cast(libc.pthread_cond_broadcast, ctypes.c_void_p).value
time.sleep(0)
write(other)
tracer.stop()
assert pointers(slots[:1]) == [other]
write(hooks[0])  # they put back what they found: our hook
together(spin)
with tracer:  # and it is ours again
    time.sleep(0)
assert not set(pointers(slots)) & {*hooks, other}
"""
    )
