"""Programs in one folder that needs no Python: what makes it finds what they use of the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MEASURES = """
import json, sys, time
from gilknocker import GilTracer, KnockKnock, Snapshot, compare

def work():
    end = time.monotonic() + 1  # longer than who knocks may have no CPU
    while time.monotonic() < end:
        pass

def measured():
    with KnockKnock(500, knock_interval_micros=500) as knocker:
        work()
    return knocker.snapshot(waits=True)

before, after = measured(), measured()
found = {
    "knocks": before.knocks == len(before.wait_times) > 0,
    "holders": [holder.name for holder in before.holders],
    "compare": str(compare(before, after)).splitlines()[0],
    "cards": before._repr_html_()[:4] + compare(before, after)._repr_html_()[:4],
    "restored": Snapshot.from_dict(before.to_dict()).holders == before.holders,
    "supported": GilTracer.supported(),
}
if GilTracer.supported()[0]:
    with GilTracer() as tracer:
        work()
    tracer.to_chrome_trace(sys.argv[1])
    found["trace"] = [tracer.threads()[0].name, tracer.snapshot().held_fraction > 0.5]
print(json.dumps(found))
"""
COMPARES = """
import json, time
from gilknocker import GilTracer, KnockKnock, compare

def work():
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        pass

def measured():
    with KnockKnock(500, knock_interval_micros=500) as knocker:
        work()
    return knocker.snapshot()

before, after = measured(), measured()
found = {
    "compare": str(compare(before, after)).splitlines()[0],
    "holders": [holder.name for holder in before.holders],
    "card": before._repr_html_()[:4],
    "supported": GilTracer.supported(),
}
if GilTracer.supported()[0]:
    with GilTracer() as tracer:
        work()
    found["trace"] = [tracer.threads()[0].name, tracer.snapshot().held_fraction > 0.5]
print(json.dumps(found))
"""
RUNS = "from gilknocker.commands.cli import main\nmain()\n"


@pytest.fixture(scope="module")
def freeze(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return what makes an executable of a program, with the hooks that are installed."""
    pytest.importorskip("PyInstaller", reason="needs the extra [frozen]")

    def freeze(code: str) -> Path:
        folder = tmp_path_factory.mktemp("frozen")
        (folder / "program.py").write_text(code)
        command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"]
        done = subprocess.run(
            [*command, "program.py"], cwd=folder, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return folder / "dist" / "program" / "program"

    return freeze


def run(program: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    # Nothing of the Python that is tested may help.
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [program, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )


def test_a_program_that_measures_itself(freeze: Callable[[str], Path], tmp_path: Path) -> None:
    program = freeze(MEASURES)
    done = run(program, "trace.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    supported, reason = found.pop("supported")
    if supported:
        assert found.pop("trace") == ["MainThread", True]
        assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert bool(reason) is not supported
    assert found.pop("compare").startswith("A: before, ")
    assert found == {
        "knocks": True,
        "holders": ["MainThread"],
        "cards": "<div<div",
        "restored": True,
    }
    # Extras come along with who imports them: IPython is there, in the extra [frozen].
    parts = {path.name for path in program.parent.rglob("*")}
    assert "numpy" in parts and not {"IPython", "matplotlib", "pandas", "pytest"} & parts


def test_the_command_line(freeze: Callable[[str], Path], tmp_path: Path) -> None:
    program = freeze(RUNS)
    (tmp_path / "script.py").write_text("import json, sys; print(__name__, *sys.argv)")
    for options in ((), ("--trace", "--html", "r.html", "--json", "r.json")):
        done = run(program, "run", *options, "script.py", "a", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, "__main__ script.py a\n")
        assert done.stderr.startswith("gilknocker: ") and "GIL held" in done.stderr
        assert "error" not in done.stderr
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert "GIL held" in run(program, "show", "r.json", cwd=tmp_path).stdout
    assert "B - A" in run(program, "compare", "r.json", "r.json", cwd=tmp_path).stdout


@pytest.mark.skipif(not os.environ.get("GILKNOCKER_NUITKA"), reason="takes minutes: see .ci/run")
def test_a_program_that_nuitka_compiled(tmp_path: Path) -> None:
    """Without numpy, which it would compile for minutes; it is found as any import is."""
    pytest.importorskip("nuitka", reason="needs the extra [frozen]")
    (tmp_path / "program.py").write_text(COMPARES)
    command = [sys.executable, "-m", "nuitka", "--standalone", "--nofollow-import-to=numpy"]
    done = subprocess.run(
        [*command, "--lto=no", "program.py"],
        cwd=tmp_path,
        env={**os.environ, "CCFLAGS": "-O0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(tmp_path / "program.dist" / "program.bin", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    supported, reason = found.pop("supported")
    if supported:
        assert found.pop("trace") == ["MainThread", True]
    assert bool(reason) is not supported
    assert found.pop("compare").startswith("A: before, ")
    assert found == {"holders": ["MainThread"], "card": "<div"}
