"""Programs whose threads are greenlets: names of threads, and that nothing is lost for them."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from needs import needs_gil, needs_tracer
from runs import metered, python

BUSY = """
import logging, os, threading, time

logging.basicConfig(level=logging.INFO, stream=open(os.devnull, "w"))

def busy(seconds=0.005):
    logging.info("this asks for the current thread, and makes one of the greenlet")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    time.sleep(0.3)  # of the greenlet

def patched(n):
    return threading.Thread(target=busy, name=f"patched-{n}")
"""
PATCHES = {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all(); from gevent import spawn",
    "eventlet": (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import eventlet; eventlet.monkey_patch(); from eventlet import spawn"
    ),
}
ALL = pytest.mark.parametrize(
    "patch",
    [
        pytest.param(patch, id=name, marks=pytest.mark.skipif(not find_spec(name), reason=name))
        for name, patch in PATCHES.items()
    ],
)

NAMES = """
import json
from gilknocker import GilTracer, KnockKnock

with KnockKnock(500) as knocker, GilTracer(0) as tracer:
    greenlets = [spawn(busy) for _ in range(50)]
    threads = [patched(n) for n in range(10)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    while_they_live = [one.name for one in tracer.threads()], [h[0] for h in knocker.holders()]
    for thread in threads:
        thread.join()
    # What is kept of each is what takes memory.
    from gilknocker.meters.tracing import NAMES
    kept = len(NAMES._begun)
    print(json.dumps([*while_they_live, [h[0] for h in knocker.holders()], kept]))
"""


@needs_gil
@needs_tracer
@ALL
def test_whose_they_are(patch: str) -> None:
    done = python("-c", patch + BUSY + NAMES)
    assert done.returncode == 0, done.stderr
    traced, held, later, kept = json.loads(done.stdout)
    assert traced == ["MainThread", "(gilknocker)"]
    assert held == later == ["MainThread"]
    assert kept == 0


@needs_gil
@ALL
@pytest.mark.parametrize("options", [(), pytest.param(("--trace",), marks=needs_tracer)])
def test_a_report_of_a_program_with_a_greenlet_that_logged(
    patch: str, options: tuple[str, ...]
) -> None:
    code = f"{patch}{BUSY}\nspawn(busy, 1)\ntime.sleep(0.1)"
    done = metered("-c", code, options=options)
    assert (done.returncode, done.stderr) == (0, "")
    assert "MainThread" in done.report and "Dummy" not in done.report


@ALL
@pytest.mark.parametrize("method", ["look", "trace"])
def test_tests_pass_as_they_would(tmp_path: Path, patch: str, method: str) -> None:
    (tmp_path / "test_theirs.py").write_text(
        f"{patch}{BUSY}\ndef test_one():\n    spawn(busy, 0.05)\n    time.sleep(0.02)\n"
        "def test_two(): time.sleep(0.02)\ndef test_three(): busy()\n"
    )
    options = ["--gilknocker"] + ["--gilknocker-method=trace"] * (method == "trace")
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    done = python("-W", "ignore", *command, cwd=tmp_path)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout
