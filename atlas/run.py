#!/usr/bin/env python3
"""Make the atlas: ``atlas/run.py [--python X.Y] [--here] [FIELD | FIELD.CASE ...]``.

Makes an environment with the pinned packages of ``atlas/locks/X.Y.txt`` (the first time), runs each
case in its own process, and keeps the figures in ``atlas/data/X.Y.json``: what is measured again
replaces what was there. ``--here`` measures with the Python that runs this, and installs nothing.
``--lock`` writes the lock file anew from ``atlas/requirements.txt``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from atlas import case as cases  # noqa: E402 (found by the line above)
from atlas.verdict import Figures, agree, verdict  # noqa: E402

HERE = Path(__file__).resolve().parent
VERSION = 1
TIMEOUT_SECONDS = 180
KINDS = ("trace", "compete", "witness", "pair")


def main() -> int:
    """Measure what is asked for; 1 if a case failed or the witness disagrees."""
    options = parse()
    version = options.python or "{}.{}".format(*sys.version_info[:2])
    if options.lock:
        lock(version, options.interpreter)
    python = sys.executable if options.here else environment(version, options.interpreter)
    bad = 0
    for case in chosen(options.cases):
        row = measure(python, case)
        bad += "error" in row or not row["witness_agrees"]
        print(line(row), flush=True)
        keep(version, row)
    return bool(bad)


def parse() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "cases", nargs="*", metavar="FIELD | FIELD.CASE", help="all if none is named"
    )
    parser.add_argument("--python", metavar="X.Y", help="whose table it is (this Python's)")
    parser.add_argument("--interpreter", help="a Python to make the environment with (pythonX.Y)")
    parser.add_argument("--here", action="store_true", help="measure with this Python as it is")
    parser.add_argument("--lock", action="store_true", help="write the lock file anew")
    return parser.parse_args()


def chosen(words: list[str]) -> Iterator[cases.Case]:
    """Yield the cases that are named.

    Raises
    ------
    SystemExit
        If there is no such field or case.
    """
    for word in words or cases.names():
        field, _, name = word.partition(".")
        if field not in cases.names():
            sys.exit(f"no field {field!r}; there are: {', '.join(cases.names())}")
        found = cases.load(field)
        if name and name not in found:
            sys.exit(f"no case {name!r} in {field}; there are: {', '.join(found)}")
        yield from [found[name]] if name else found.values()


def environment(version: str, interpreter: str | None) -> str:
    """Return the Python of the environment for a version, made if it is not there."""
    folder = ROOT / "build" / "atlas" / version
    python = folder / "bin" / "python"
    lock_file = HERE / "locks" / f"{version}.txt"
    if not lock_file.exists():
        sys.exit(f"{lock_file.relative_to(ROOT)} is not there: --lock writes it")
    if not python.exists():
        subprocess.run([interpreter or f"python{version}", "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", lock_file], check=True)
    subprocess.run([*pip, "--no-deps", ROOT], check=True)
    return str(python)


def lock(version: str, interpreter: str | None) -> None:
    """Write what pip would install today for ``atlas/requirements.txt``, pinned."""
    folder = ROOT / "build" / "atlas" / f"lock-{version}"
    subprocess.run([interpreter or f"python{version}", "-m", "venv", "--clear", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "install", "-q", "--prefer-binary", "-r", HERE / "requirements.txt"], check=True
    )
    frozen = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    (HERE / "locks" / f"{version}.txt").write_text(frozen)


def measure(python: str, case: cases.Case) -> dict[str, Any]:
    """Return the row of a case: twice traced beside a competitor, once by the witness."""
    row: dict[str, Any] = {
        "field": case.field,
        "name": case.name,
        "package": case.package,
        "call": case.call,
        "size": case.size,
        "guess": case.guess,
        "why": case.why,
        "date": time.strftime("%Y-%m-%d"),
    }
    try:
        row["version"] = version_of(python, case.package)
        found = {kind: once(python, kind, case) for kind in KINDS}
        again = once(python, "compete", case)
    except (subprocess.SubprocessError, ValueError) as error:
        return {**row, "error": str(error).strip()[-500:]}
    return {**row, **found["trace"], **judged(found, again)}


def once(python: str, kind: str, case: cases.Case) -> dict[str, Any]:
    """Return what one process says."""
    done = subprocess.run(
        [python, "-m", "atlas.measure", kind, case.field, case.name],
        cwd=ROOT / "build",  # the sources of gilknocker have no compiled modules
        env={**os.environ, "PYTHONPATH": str(paths()), "PYTHONWARNINGS": "ignore"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    if done.returncode:
        raise ValueError(done.stderr or f"exit status {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def paths() -> Path:
    """Return a folder from which `atlas` is imported, and nothing else of ours."""
    folder = ROOT / "build" / "atlas" / "path"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "atlas"
    if not link.is_symlink():
        link.symlink_to(HERE)
    return folder


def version_of(python: str, package: str) -> str:
    """Return the version of a distribution in that environment; of Python itself for "python"."""
    code = (
        "import platform; print(platform.python_version())"
        if package == "python"
        else f"import importlib.metadata as m; print(m.version({package!r}))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{package} is not installed")
    return done.stdout.strip()


def judged(found: dict[str, Any], again: dict[str, Any]) -> dict[str, Any]:
    """Return the verdicts and what they are made from."""
    compete, witness = found["compete"], found["witness"]
    alone = found["trace"]

    def of(wait_max_ns: int) -> str:
        return verdict(Figures(alone["seconds"], alone["held_share"], wait_max_ns))

    # A long hold is there each time; a machine that was busy with other things is not.
    longest = min(compete["wait_max_ns"], again["wait_max_ns"])
    return {
        **{name: value for name, value in compete.items() if name != "seconds"},
        "contended_seconds": compete["seconds"],
        "witness_longest_ns": witness["longest_ns"],
        "witness_freeing_ns": witness["freeing_longest_ns"],
        "wait_max_ns": longest,
        "witness_agrees": agree(longest, witness["longest_ns"]),
        "speed_up": found["pair"]["speed_up"],
        "verdict": of(longest),
        "same_again": of(compete["wait_max_ns"]) == of(again["wait_max_ns"]),
    }


def line(row: dict[str, Any]) -> str:
    """Return a row for the terminal."""
    head = f"{row['field']}.{row['name']:32}"
    if "error" in row:
        return f"{head} FAILED: {row['error'].splitlines()[-1] if row['error'] else '?'}"
    marks = "" if row["same_again"] else " (not the same again)"
    marks += "" if row["witness_agrees"] else " (THE WITNESS DISAGREES)"
    marks += "" if row["verdict"] == row["guess"] else f" (guessed: {row['guess']})"
    return (
        f"{head} {row['verdict']:12} held {row['held_share']:4.0%}, rival waited at most "
        f"{row['wait_max_ns'] / 1e6:.0f} ms, witness {row['witness_longest_ns'] / 1e6:.0f} ms, "
        f"freeing {row['freeing_max_ns'] / 1e6:.0f} ms, two threads {row['speed_up']:.1f}x{marks}"
    )


def keep(version: str, row: dict[str, Any]) -> None:
    """Put a row into the data of that version, in the place of the one that was there."""
    path = HERE / "data" / f"{version}.json"
    path.parent.mkdir(exist_ok=True)
    data = json.loads(path.read_text()) if path.exists() else {}
    rows = {(old["field"], old["name"]): old for old in data.get("rows", [])}
    rows[row["field"], row["name"]] = row
    ordered = [rows[key] for key in sorted(rows)]
    content = {"format": "gilknocker.atlas", "version": VERSION, "python": version, "rows": ordered}
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
