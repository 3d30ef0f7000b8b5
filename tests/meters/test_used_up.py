"""Processes whose other libraries have used up what a library may take of a thread's own memory."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from needs import needs_tracer
from runs import metered, python

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("g++")

# Knocks and looks, and the tracer if it can be.
PROGRAM = """
import time
from gilknocker import GilTracer, KnockKnock
with KnockKnock(1000, knock_interval_micros=1000) as knocker:
    while not knocker.snapshot().knocks:
        time.sleep(0.01)
supported, why = GilTracer.supported()
print(supported, why)
if supported:
    with GilTracer(10) as tracer:
        time.sleep(0)
    assert tracer.snapshot().holds == 1
"""


@pytest.fixture(scope="module")
def thirsty(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return libraries, each of which takes static thread-local memory: large ones, then small."""
    if COMPILER is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("thirsty")
    built = []
    for size in (512, 64, 8):
        source = folder / f"takes{size}.c"
        source.write_text(
            '__attribute__((tls_model("initial-exec"))) __thread char taken'
            f"[{size}] __attribute__((aligned(8))) = {{1}};\nchar* get(void) {{ return taken; }}\n"
        )
        first = folder / f"takes{size}-0.so"
        subprocess.run([COMPILER, "-shared", "-fPIC", source, "-o", first], check=True, timeout=300)
        built.append(first)
        for number in range(1, 40):  # the loader knows a file that it has loaded
            built.append(Path(shutil.copy(first, folder / f"takes{size}-{number}.so")))
    return built


def _drinking(libraries: list[Path]) -> str:
    return f"""
import ctypes
refused = set()
for path in {[str(path) for path in libraries]!r}:
    try:
        ctypes.CDLL(path)
    except OSError as error:
        if "static TLS" not in str(error) and "initial-exec" not in str(error):
            raise
        refused.add(path.rpartition("-")[0][-1])
assert refused == set("{"".join(sorted({path.stem.partition("-")[0][-1] for path in libraries}))}")
del refused, path
"""


@needs_tracer
def test_static_thread_local_memory(thirsty: list[Path]) -> None:
    done = python("-c", _drinking(thirsty) + PROGRAM)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")


def _locking(keys: int) -> str:
    return f"""
import ctypes
libc = ctypes.CDLL(None)
for _ in range({keys}):
    libc.pthread_key_create(ctypes.byref(ctypes.c_uint()), None)
"""


KEYS = pytest.mark.parametrize("keys", [40, 5000], ids=["the-cheap-ones", "all"])


@needs_tracer
@KEYS
def test_keys_of_thread_specific_data(keys: int) -> None:
    """The tracer says why it cannot be; knocks and looks go on."""
    done = python("-c", _locking(keys) + PROGRAM)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "True \n" or "keys of thread-specific data" in done.stdout
    if keys == 5000:
        assert done.stdout.startswith("False The GIL cannot be traced here: ")


@needs_tracer
@KEYS
@pytest.mark.parametrize("option", [(), ("--trace",), ("--live",)], ids=["run", "trace", "live"])
def test_a_run(keys: int, option: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_locking(keys))
    program = tmp_path / "program.py"
    program.write_text("print('ran')\n")
    done = metered(program, options=option, env={"PYTHONPATH": str(tmp_path)})
    assert "Traceback" not in done.stderr + done.report
    if option == ("--trace",) and done.returncode != 0:
        assert "keys of thread-specific data" in done.report  # to ask for it is an error then
    else:
        assert (done.returncode, done.stdout) == (0, "ran\n")


@needs_tracer
def test_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_locking(40))  # without any OpenSSL crashes
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    done = python(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"),
        *("--gilknocker", tmp_path),
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout and "Traceback" not in done.stdout + done.stderr
