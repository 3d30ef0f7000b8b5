"""GilTracer in C programs that embed Python: linked in all ways, and taking addresses.

An executable that is not position-independent has its own stub stand for each library function
whose address it takes, in the whole process.
"""

from __future__ import annotations

import subprocess
import sysconfig
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from needs import needs_tracer

pytestmark = needs_tracer

SOURCE = r"""
#include <Python.h>
#include <pthread.h>

#ifdef TAKEN
void* volatile taken;
#endif

int main(int argc, char** argv) {
#ifdef TAKEN
  taken = (void*)&TAKEN;
#endif
  Py_InitializeEx(0);
  const int failed = argc != 2 || PyRun_SimpleString(argv[1]) != 0;
  return Py_FinalizeEx() != 0 || failed;
}
"""
TAKEN = ("pthread_cond_signal", "pthread_cond_timedwait", "pthread_cond_wait")

# Before and after the interpreter's calls are bound: both must be said to work, and work.
PROGRAM = """
import ctypes, threading, time
from gilknocker import GilTracer, _core
assert GilTracer.supported() == (True, ""), GilTracer.supported()
def spin():
    # By the thread's own time: that is of running with the GIL, however busy the machine is.
    end = time.thread_time() + 0.03
    while time.thread_time() < end:
        pass
def contend():
    threads = [threading.Thread(target=spin) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
def pointers(slots):
    return [ctypes.c_void_p.from_address(slot).value for slot in slots]
def protections():
    with open("/proc/self/maps") as maps:
        ranges = [line.split()[:2] for line in maps]
    return [
        protection for slot in slots for span, protection in ranges
        if int(span.split("-")[0], 16) <= slot < int(span.split("-")[1], 16)]
before = None
for _ in range(3):
    with GilTracer(0):
        slots = _core.trace_slots()
    tracer = GilTracer(100)
    protected = protections()
    with tracer:
        contend()
    found = pointers(slots)
    assert before in (None, found), (before, found)
    contend()
    before = pointers(slots)
    assert protections() == protected, (protected, protections())
    snapshot = tracer.snapshot()
    assert snapshot.knocks > 0 and snapshot.held_seconds > 0.05, snapshot

# Somebody who lifts the protection meanwhile may go on to write.
libc = ctypes.CDLL(None)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
for slot in slots:
    assert libc.mprotect(slot & ~4095, 4096, 3) == 0
with GilTracer(0):
    assert set(protections()) == {"rw-p"}, protections()
assert set(protections()) == {"rw-p"}, protections()
print("traced", *protected)
"""


def _libraries() -> dict[str, Path | None]:
    version = f"python{sysconfig.get_config_var('LDVERSION')}"
    folders = [sysconfig.get_config_var(name) for name in ("LIBDIR", "LIBPL")]
    found: dict[str, Path | None] = {}
    for kind, suffix in (("shared", ".so"), ("static", ".a")):
        paths = [Path(folder, f"lib{version}{suffix}") for folder in folders if folder]
        found[kind] = next((path for path in paths if path.exists()), None)
    return found


@pytest.fixture
def embedding(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the tests' own module that knows how this Python is embedded."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "torture"))
    module = import_module("embedding")
    if missing := module.missing():
        pytest.skip(missing)
    return module


def _build(embedding: ModuleType, target: Path, *, library: Path, flags: list[str]) -> None:
    source = target.with_suffix(".c")
    source.write_text(SOURCE)
    words = [*embedding.compiler(), *flags, source, "-o", target, "-pthread"]
    words += ["-I", sysconfig.get_path("include"), library, "-rdynamic"]
    words += embedding.libraries_of(library)
    for name in ("LIBS", "SYSLIBS"):
        words += (sysconfig.get_config_var(name) or "").split()
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"no such program can be linked here: {done.stderr[-300:]}")


@pytest.mark.parametrize("taken", [*TAKEN, "PyEval_RestoreThread", None])
@pytest.mark.parametrize("binding", ["lazy", "now"])
@pytest.mark.parametrize("position", ["pie", "no-pie"])
@pytest.mark.parametrize("linked", ["shared", "static"])
def test_an_embedder(
    linked: str,
    position: str,
    binding: str,
    taken: str | None,
    tmp_path: Path,
    embedding: ModuleType,
) -> None:
    library = _libraries()[linked]
    if library is None:
        pytest.skip(f"this Python has no {linked} library")
    if position == "pie" and taken not in (None, "pthread_cond_timedwait"):
        pytest.skip("one such address stands for all: the loader fills it in")
    code = {"pie": ["-fPIE", "-pie"], "no-pie": ["-fno-pie", "-no-pie"]}[position]
    flags = ["-O1", *code, f"-Wl,-z,{binding}", *([f"-DTAKEN={taken}"] if taken else [])]
    target = tmp_path / "embedder"
    _build(embedding, target, library=library, flags=flags)
    done = subprocess.run(
        [target, PROGRAM],
        env={**embedding.environment(), "LD_BIND_NOW": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 127 and "undefined symbol" in done.stderr:
        # Of a library that this Python was not linked with as it says: main() is not reached.
        pytest.skip(f"no such program can be started here: {done.stderr[-300:]}")
    assert (done.returncode, done.stderr) == (0, "")
    words = done.stdout.split()
    assert words[0] == "traced" and len(words) > len(TAKEN)
    if linked == "static" and binding == "now":
        assert set(words[1:]) == {"r--p"}  # else the protection is not tried out
