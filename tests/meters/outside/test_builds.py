"""Pythons of other builds than ours, read from outside; none of them needs gilknocker.

GILKNOCKER_TARGET=PYTHON names one more, such as one that is built for musl.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest
from needs import needs_gil
from runs import command
from watched import leaves, running, watch

pytest.importorskip("gilknocker._outside")
if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)

from gilknocker.meters.outside import layouts
from gilknocker.meters.outside.process import Process
from gilknocker.meters.outside.target import Target
from gilknocker.meters.outside.watch import OutsideMeter

pytestmark = [needs_gil]

LOAD = """
import itertools, sys, threading

def in_c():
    print("ready", flush=True)
    sum(itertools.repeat(1))  # without an end, and nobody else gets the GIL

def in_python():
    print("ready", flush=True)
    while True:
        pass

thread = threading.Thread(target=globals()[sys.argv[1]], daemon=True)
thread.start()
thread.join()
"""
LINES = {"in_c": (6,), "in_python": (10, 11)}
VERSIONS = [".".join(map(str, version)) for version in layouts.LAYOUTS]
ASKED = """
import json, sys, sysconfig
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
version = "" if free_threaded else "%d.%d" % sys.version_info[:2]
print(json.dumps([sys.executable, version]))
"""


class Build(NamedTuple):
    """A Python, and what its environment needs."""

    python: Path
    env: dict[str, str]


@functools.cache
def asked(python: str) -> list[str]:
    """Return the path of the Python and its version; nothing where it does not run."""
    done = subprocess.run(
        [python, "-I", "-S", "-c", ASKED],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return [] if done.returncode else json.loads(done.stdout)


def installed(version: str) -> Build:
    """Return a Python of that version that is not this one."""
    name = f"python{version}"
    found = [shutil.which(name, path=folder) for folder in ("/usr/bin", os.environ.get("PATH"))]
    found += map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in filter(None, found):
        if os.path.realpath(candidate) == os.path.realpath(sys.executable):
            continue
        if asked(candidate)[1:] == [version]:
            return Build(Path(candidate), dict(os.environ))
    pytest.skip(f"no other Python {version} here")


def stripped(folder: Path) -> Build:
    """Return this Python without the table of its symbols."""
    if not (strip := shutil.which("strip")):
        pytest.skip("no `strip` here")
    env = {**os.environ, "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}"}
    python = folder / "python"
    original = Path(sys.executable).resolve()
    # Debian's says that it is shared, and has all in the program.
    name = str(sysconfig.get_config_var("INSTSONAME"))
    mapped = {Path(one.path) for one in Process(os.getpid()).mapped() if one.path.endswith(name)}
    for library in mapped:
        env["LD_LIBRARY_PATH"] = str(folder)
        subprocess.run([strip, "-o", folder / library.name, library], check=True, timeout=60)
    subprocess.run([strip, "-o", python, original], check=True, capture_output=True, timeout=60)
    if subprocess.run([python, "-I", "-S", "-c", ""], env=env, timeout=60).returncode:
        pytest.skip("what `strip` leaves of this Python does not run")
    return Build(python, env)


def given() -> Build:
    if not (python := os.environ.get("GILKNOCKER_TARGET")):
        pytest.skip("GILKNOCKER_TARGET names no Python")
    return Build(Path(python), dict(os.environ))


@pytest.fixture(params=["stripped", "given", *VERSIONS])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    if request.param == "stripped":
        return stripped(tmp_path)
    return given() if request.param == "given" else installed(request.param)


@pytest.mark.parametrize("what", ["in_c", "in_python"])
def test_who_holds_it_and_where(build: Build, what: str) -> None:
    with running(LOAD, what, [build.python, "-I", "-S"], build.env) as process:
        meter = OutsideMeter(Target(process.pid))
        watch(meter, 0.3)
        snapshot, found = meter.snapshot(), leaves(meter)
        done = command("dump", "--json", str(process.pid))
    assert snapshot.held_fraction is not None and snapshot.held_fraction > 0.9
    assert found[what] > 0.9 * sum(found.values())
    assert done.returncode == 0, done.stderr
    [holder] = [one for one in json.loads(done.stdout)["threads"] if one["holds"]]
    frame = holder["frames"][-1]
    assert (frame["function"], frame["file"]) == (what, "<string>")
    assert frame["line"] in LINES[what]
