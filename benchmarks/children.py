"""Real programs with children under `gilknocker run --children`: is each there, and right?

    python benchmarks/children.py [--only NAME...] [--starts 20]

Each program runs plainly, and under the command; there each process also traces itself, started by
a `sitecustomize` of ours, and notes every 50 ms what it has held; the command notes every 20 ms
what its looks at each have found. Every process that held the GIL must be in the table. Of the time
of which both have notes, the share that it was held must be, child by child, within 0.02 of what
the child noted and what chance may do to n looks, 3 sqrt(p (1 - p) / n). Of its whole life, from
when it was found to its end, what was held is printed beside what it noted, and for how long it
noted nothing: before its tracer began, and after its last note. Standard output, answers and exit
status must be the same. Programs that are not installed are left out. Then children that do nothing
are started, plainly and under the command by turns: each may take at most 15 ms longer. Exits with
1 if not.
"""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from machine import describe
from steal import StealTime

from gilknocker import Snapshot

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from service import free_port

MOST_ERROR = 0.02
MOST_START_MS = 15.0
LEAST_LOOKS = 100  # of a process that is compared: of fewer nothing follows
LEAST_HELD_NS = 50_000_000  # of a process that must be in the table: it may be gone within 50 ms

NOTES = """
import os, sys
def begin():
    import atexit, threading, time
    from gilknocker import GilTracer
    tracer, path = GilTracer(0), f"{os.environ['NOTES']}/{os.getpid()}"
    tracer.start()
    file = open(path, "a", buffering=1)
    def note_once():
        print(time.monotonic_ns(), tracer.snapshot().held_ns, file=file)
    def note():
        while True:
            note_once()
            time.sleep(0.05)
    note_once()
    atexit.register(note_once)
    threading.Thread(target=note, daemon=True).start()
def note_looks():
    from gilknocker.meters.outside.family import Family
    look = Family.look
    def noting(self):
        look(self)
        for pid, member in self._living.items():
            if member._meter is not None:
                now = member._meter._reader.read()
                with open(f"{os.environ['NOTES']}/{pid}.{now['began_ns']}", "a") as file:
                    print(now["ended_ns"], now["ticks_held"], now["ticks"], file=file)
    Family.look = noting
if "--children" in sys.orig_argv:
    note_looks()
else:
    begin()
    os.register_at_fork(after_in_child=begin)
"""
WORK = """
import sys, time
def work(number):
    end = time.process_time() + 1.0
    while time.process_time() < end: pass
    time.sleep(0.5)
    return number
"""
POOL = """
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(8) as pool:
        print(pool.map(work, range(16), chunksize=1))
    sys.exit(3)
"""
EXECUTOR = """
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    with ProcessPoolExecutor(4) as pool:
        print(list(pool.map(work, range(16))))
    sys.exit(3)
"""
LOADER = """
import torch.utils.data
class Numbers(torch.utils.data.Dataset):
    def __len__(self): return 16
    def __getitem__(self, number): return work(number)
if __name__ == "__main__":
    print([one.tolist() for one in torch.utils.data.DataLoader(Numbers(), 2, num_workers=4)])
    sys.exit(3)
"""
WSGI = """
import time
from flask import Flask
app = Flask(__name__)
@app.route("/<int:number>")
def answer(number):
    end = time.thread_time() + 0.002
    while time.thread_time() < end: pass
    return f"/{number}"
"""


def notes_of(file: Path, columns: int) -> numpy.ndarray:
    """Return what was noted, a row for each column: instants first; the last line may be torn."""
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return numpy.array([line for line in lines if len(line) == columns], dtype=float).T


class Child(NamedTuple):
    """A process as its own tracer and the looks of the command saw it; times in seconds."""

    pid: int
    both: float  # of so much time both have notes
    looks: float  # in that time
    said: float  # which share of it was held
    exact: float
    life: float  # from when it was found to its end, and what was held of that
    held: float
    noted: float  # of its life the tracer has notes of so much, and this was held of it
    noted_held: float

    @property
    def most(self) -> float:
        """How far the looks may be off."""
        return MOST_ERROR + 3 * math.sqrt(self.exact * (1 - self.exact) / self.looks)


def child_of(row: dict[str, Any], notes: Path) -> Child | None:
    """Compare one process's looks with its notes; None where one of them has nothing."""
    if row["snapshot"] is None:
        return None
    snapshot = Snapshot.from_dict(row["snapshot"])
    mine = notes_of(notes / f"{row['pid']}.{snapshot.start_ns}", 3)
    own = notes_of(notes / str(row["pid"]), 2)
    if mine.size == 0 or own.size == 0:
        return None
    start, end = max(mine[0][0], own[0][0]), min(mine[0][-1], own[0][-1])

    def gained(notes: numpy.ndarray, column: int, times: tuple[float, float]) -> float:
        before, after = numpy.interp(times, notes[0], notes[column])
        return float(after - before)

    looks = gained(mine, 2, (start, end)) if end > start else 0.0
    if looks < LEAST_LOOKS:
        return None
    life = (float(snapshot.start_ns), float(snapshot.end_ns))
    noted = min(life[1], own[0][-1]) - max(life[0], own[0][0])
    return Child(
        row["pid"],
        (end - start) / 1e9,
        looks,
        gained(mine, 1, (start, end)) / looks,
        gained(own, 1, (start, end)) / (end - start),
        snapshot.observed_seconds,
        snapshot.held_seconds,
        noted / 1e9,
        gained(own, 1, life) / 1e9,
    )


class Program(NamedTuple):
    """A program: its words, what must be installed, and how many requests it is to answer."""

    name: str
    words: list[str]
    needs: str = ""
    requests: int = 0
    ends_by: int = signal.SIGTERM


def programs(folder: Path, port: int) -> list[Program]:
    """Write what they need; return them."""
    for name, code in (("pool", POOL), ("executor", EXECUTOR), ("loader", LOADER)):
        (folder / f"{name}.py").write_text(WORK + code)
    (folder / "web.py").write_text(WSGI)
    at = ["--port", str(port)]
    apps = str(Path(__file__).parent.parent / "tests" / "integrations" / "apps")
    uvicorn = ["--app-dir", apps, "--workers", "2", "--log-level", "warning", *at]
    gunicorn = ["-w", "4", "-b", f"127.0.0.1:{port}", "--log-level", "warning", "web:app"]
    # Not where it is: black leaves out what is under .venv.
    internal = Path(importlib.util.find_spec("pip").origin).parent / "_internal"
    tree = str(shutil.copytree(internal, folder / "pip"))
    methods = ("fork", "forkserver", "spawn")
    return [
        *(Program(f"Pool of 8, {how}", ["pool.py", how]) for how in methods),
        Program("ProcessPoolExecutor", ["executor.py"]),
        Program("DataLoader of 4", ["loader.py"], "torch"),
        Program("black over pip", ["-m", "black", "--check", "-q", tree], "black"),
        Program("gunicorn, 4 workers", ["-m", "gunicorn", *gunicorn], "gunicorn", 2_000),
        Program(
            "uvicorn, 2 workers", ["-m", "uvicorn", *uvicorn, "attached_app:app"], "uvicorn", 6_000
        ),
        Program(
            "Flask with its reloader",
            ["-m", "flask", "--app", "web", "run", "--debug", *at],
            "flask",
            500,
            signal.SIGINT,
        ),
    ]


def answers(port: int, count: int) -> int:
    """Ask a service so often, once it is there; return how many answers were right."""

    def ask(numbers: range) -> int:
        right = 0
        for number in numbers:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", f"/{number}")
            right += connection.getresponse().read().decode() == f"/{number}"
            connection.close()
        return right

    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        with suppress(OSError):
            ask(range(1))
            break
        time.sleep(0.05)
    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(ask, (range(i, count, 4) for i in range(4))))


def outcome(
    program: Program, before: list[str], folder: Path, port: int, more: dict[str, str]
) -> tuple[int, str, int]:
    """Run it; return its exit status, its output, and how many answers were right."""
    process = subprocess.Popen(
        [sys.executable, *before, *program.words],
        cwd=folder,
        env={**os.environ, "BLACK_CACHE_DIR": tempfile.mkdtemp(dir=folder), **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    right = 0
    if program.requests:
        right = answers(port, program.requests)
        process.send_signal(program.ends_by)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output, right


def compare(program: Program, folder: Path, port: int) -> bool:
    """Print a line for a program; whether all is as it should be."""
    plain = outcome(program, [], folder, port, {})
    notes, site = Path(tempfile.mkdtemp(dir=folder)), Path(tempfile.mkdtemp(dir=folder))
    (site / "sitecustomize.py").write_text(NOTES)
    report = folder / "report.json"
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    measured = outcome(
        program,
        ["-m", "gilknocker", "run", "--children", "--json", str(report)],
        folder,
        port,
        {"NOTES": str(notes), "PYTHONPATH": path},
    )
    rows: list[dict[str, Any]] = json.loads(report.read_text())["processes"]
    children = [one for row in rows if (one := child_of(row, notes)) is not None]
    here = {row["pid"] for row in rows}
    held_most = {
        int(file.name): max(notes_of(file, 2)[1], default=0)
        for file in notes.iterdir()
        if file.name.isdigit() and notes_of(file, 2).size
    }
    missing = [pid for pid, most in held_most.items() if pid not in here and most > LEAST_HELD_NS]
    same = plain == measured and plain[2] == program.requests
    far = [one for one in children if abs(one.said - one.exact) > one.most]
    good = not missing and same and not far and bool(children)
    for one in children:
        print(
            f"       {one.pid}: held {one.said:.4f} of {one.both:.2f} s, exact {one.exact:.4f}, "
            f"{one.said - one.exact:+.4f} (<= {one.most:.4f}, {one.looks:.0f} looks); "
            f"of {one.life:.2f} s of life {one.held:.2f}, noted {one.noted_held:.2f} "
            f"of {one.noted:.2f}"
        )
    errors = [one.said - one.exact for one in children]
    print(
        f"{'ok  ' if good else 'FAIL'} {program.name:24} {len(rows)} processes, {len(missing)} "
        f"missing, {len(children)} compared: off by {statistics.mean(errors or [0]):+.4f} in the "
        f"mean, {max(map(abs, errors), default=0):.4f} at most, {len(far)} too far; held "
        f"{sum(one.held for one in children):.1f} of {sum(one.life for one in children):.1f} s; "
        f"status {measured[0]}, {measured[2]} answers, "
        f"{'all as plainly' if same else f'plainly {plain}, here {measured}'}",
        flush=True,
    )
    return good


STARTS = """
import subprocess, sys, time
for _ in range(int(sys.argv[1])):
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import json"], check=True)
    print(time.perf_counter() - begun)
"""


def starts(count: int) -> bool:
    """Print how much longer a child takes to start and end; whether that is little enough."""
    plain, measured = [], []
    command = ["-m", "gilknocker", "run", "--children"]
    for _ in range(5):
        for times, before in ((plain, []), (measured, command)):
            done = subprocess.run(
                [sys.executable, *before, "-c", STARTS, str(count)],
                capture_output=True,
                text=True,
                check=True,
            )
            times += map(float, done.stdout.split())
    alone, later = (statistics.median(times) * 1e3 for times in (plain, measured))
    good = later - alone <= MOST_START_MS
    print(
        f"{'ok  ' if good else 'FAIL'} a child that does nothing: {later - alone:+.1f} ms "
        f"(<= {MOST_START_MS:g}), median of {len(plain)}, plainly {alone:.1f} ms"
    )
    return good


def main() -> int:
    """Print the figures and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[""], help="programs whose name has that")
    parser.add_argument("--starts", type=int, default=20, help="children, in 5 turns (20)")
    options = parser.parse_args()
    print(describe())
    steal, good = StealTime(), []
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        for program in programs(Path(folder), port):
            if not any(part in program.name for part in options.only):
                continue
            if program.needs and importlib.util.find_spec(program.needs) is None:
                print(f"     {program.name}: {program.needs} is not installed")
                continue
            good.append(compare(program, Path(folder), port))
    if options.starts:
        good.append(starts(options.starts))
    print(f"steal time {steal.share():.1%}")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
