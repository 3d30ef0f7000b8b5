"""A process in a container, read from outside of it: other files, and other numbers, than here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from needs import needs_gil
from waiting import wait_until

pytest.importorskip("gilknocker._outside")
if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)

from gilknocker.meters.outside.process import Process
from gilknocker.meters.outside.relatives import children
from gilknocker.meters.outside.target import Target
from gilknocker.meters.outside.watch import OutsideMeter

pytestmark = [needs_gil]

INSIDE = "/only-inside"
# Its own file system, with this Python at a path that is not there outside.
CONTAINER = f"""
set -e
mount -t tmpfs none "$1"
mkdir "$1{INSIDE}" "$1/old"
for folder in bin etc lib lib64 sbin usr; do
    if [ -L "/$folder" ]; then cp -P "/$folder" "$1/"
    elif [ -d "/$folder" ]; then mkdir "$1/$folder"; mount --rbind "/$folder" "$1/$folder"; fi
done
mount --rbind "$2" "$1{INSIDE}"
cd "$1"
pivot_root . old
cd /
shift 2
LD_LIBRARY_PATH={INSIDE}/lib exec "$@"
"""
PROGRAM = """
import os, threading
def in_python():
    print(os.getpid(), threading.get_native_id(), flush=True)
    while True:
        pass
thread = threading.Thread(target=in_python, daemon=True)
thread.start()
thread.join()
"""
ALONE = ["unshare", *(["--map-root-user"] if os.geteuid() else []), "--mount", "--pid", "--fork"]
PYTHON = Path(os.path.realpath(sys.executable))
PYTHON_INSIDE = f"{INSIDE}/{os.path.relpath(PYTHON, sys.base_prefix)}"


def inside(root: Path, *words: str) -> list[str]:
    """Return how a command is run in a container, whose file system is mounted there."""
    return [*ALONE, "--kill-child", "sh", "-c", CONTAINER, "sh", str(root), sys.base_prefix, *words]


def why_not(root: Path) -> str:
    """Return why there can be no container here; nothing if there can."""
    if not PYTHON.is_relative_to(sys.base_prefix):
        return "Python is not where its library is"
    if not all(map(shutil.which, ("unshare", "mount", "pivot_root"))):
        return "no `unshare`, `mount` and `pivot_root` here"
    for problem, words in {
        "no namespaces here": ["/bin/true"],
        "this Python needs more than its prefix": [PYTHON_INSIDE, "-I", "-S", "-c", ""],
    }.items():
        command = inside(root, *words)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            return f"{problem}: {done.stderr.strip()}"
    return ""


@contextmanager
def contained(root: Path) -> Iterator[tuple[int, int, int]]:
    """Run a Python in a container; yield its number here, its number and its thread's there."""
    if reason := why_not(root):
        pytest.skip(reason)
    process = subprocess.Popen(
        inside(root, PYTHON_INSIDE, "-I", "-S", "-c", PROGRAM),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        pid_there, thread_there = map(int, process.stdout.readline().split())
        [pid] = children(process.pid)
        yield pid, pid_there, thread_there
    finally:
        process.kill()
        process.communicate(timeout=30)


def test_a_process_in_a_container(tmp_path: Path) -> None:
    with contained(tmp_path) as (pid, pid_there, thread_there):
        mapped = [one.path for one in Process(pid).mapped()]
        assert any(path.startswith(INSIDE) for path in mapped) and not Path(INSIDE).exists()
        assert pid_there == 1 != pid and Process(pid).thread_here(thread_there) != thread_there
        target = Target(pid)
        assert target.version == sys.version_info[:2]
        wait_until(target.holder, every=0.01)
        with OutsideMeter(target) as meter:
            assert not meter.wait(0.5)
            wait_until(lambda: meter.snapshot().ticks > 10)
        snapshot = meter.snapshot()
        done = subprocess.run(
            [sys.executable, "-m", "gilknocker", "dump", "--json", str(pid)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert snapshot.held_fraction is not None and snapshot.held_fraction > 0.9
    assert snapshot.stacks[0].frames[-1].function == "in_python"
    assert done.returncode == 0, done.stderr
    threads = json.loads(done.stdout)["threads"]
    [holder] = [one for one in threads if one["holds"]]
    frame = holder["frames"][-1]
    assert (frame["function"], frame["file"]) == ("in_python", "<string>")
    assert frame["line"] in (5, 6)  # of its loop
    assert holder["native_id"] in (thread_there, 0)  # Python 3.10 keeps none
