"""How soon does the watch for stalls tell of one, and is what it tells right?

    python benchmarks/stalls.py [--tries 200]

Each try is a process of its own whose C code keeps the GIL for 3 s: the block, which names the
thread and the line, must be on the descriptor within 50 ms of what is tolerated, each time: from a
thread, during an import, in a forked child, with stderr closed, and beside another watch whose pipe
nobody reads. Exits with 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe
from steal import StealTime

TOLERATED_MS = 200
LATE_MS = 50
KINDS = ("thread", "import", "fork", "closed", "full")

STALLS = """
import os, time
from gilknocker import _load

def stall():
    os.write(1, b"%d\\n" % time.monotonic_ns())
    _load.hold_gil(3.0, sleep=True)
"""
STALLS_IN = ("stall", "stalls.py", 6)
PROGRAM = f"""
import os, sys, threading
from gilknocker import watch_stalls
kind, descriptor = sys.argv[1], int(sys.argv[2])
if kind == "closed":
    os.close(2)
if kind == "full":
    _, full = os.pipe()
    os.set_blocking(full, False)
    try:
        while True:
            os.write(full, bytes(4096))
    except BlockingIOError:
        os.set_blocking(full, True)
    watch_stalls("{TOLERATED_MS} ms", full)
watch_stalls("{TOLERATED_MS} ms", descriptor, format="json")
if kind == "import":
    import imported
elif kind == "fork":
    import stalls
    if os.fork() == 0:
        stalls.stall()
        os._exit(0)
    os.wait()
else:
    import stalls
    thread = threading.Thread(target=stalls.stall, name="worker")
    thread.start()
    thread.join()
"""


def once(kind: str, folder: str) -> tuple[float, bool]:
    """Return how long it took until the block could be read, in ms, and whether it was right."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-c", PROGRAM, kind, str(write_end)]
    with subprocess.Popen(
        command, cwd=folder, pass_fds=[write_end], stdout=subprocess.PIPE
    ) as process:
        os.close(write_end)
        assert process.stdout is not None
        begun = int(process.stdout.readline())
        with os.fdopen(read_end) as blocks:
            told = json.loads(blocks.readline())
            came = time.monotonic_ns() - begun
            blocks.read()
    function, file, line = told["frames"][-1]
    thread = "worker" if kind in ("thread", "closed", "full") else "MainThread"
    right = told["thread"] == thread and (function, Path(file).name, line) == STALLS_IN
    return came / 1e6, right


def main() -> int:
    """Print the figures; 1 if one is not reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=200)
    tries = parser.parse_args().tries
    print(describe())
    steal = StealTime()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "stalls.py").write_text(STALLS.lstrip("\n"))
        Path(folder, "imported.py").write_text("import stalls\nstalls.stall()\n")
        results = [once(KINDS[i % len(KINDS)], folder) for i in range(tries)]
    times = sorted(came for came, _ in results)
    right = sum(is_right for _, is_right in results)
    in_time = sum(came <= TOLERATED_MS + LATE_MS for came in times)
    passed = in_time == right == tries
    print(
        f"{'ok  ' if passed else 'FAIL'} {tries} stalls of 3 s: {in_time} told within "
        f"{TOLERATED_MS + LATE_MS} ms, {right} with thread and line; median "
        f"{statistics.median(times):.0f} ms, longest {times[-1]:.0f} ms; steal {steal.share():.1%}"
    )
    return not passed


if __name__ == "__main__":
    raise SystemExit(main())
