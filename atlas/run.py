#!/usr/bin/env python3
"""Make the atlas: ``atlas/run.py [--python X.Y] [--here] [FIELD | FIELD.CASE ...]``.

Makes an environment for each field with the pinned packages of ``atlas/locks/X.Y/FIELD.txt``, runs
each case in its own process, and keeps the figures in ``docs/atlas/X.Y.json``: what is measured
again replaces what was there, what fails does not. ``--missing`` measures only what has no figures
there, or those of another input. ``--here`` measures with the Python that runs this, and installs
nothing. ``--lock`` writes the lock files anew from ``atlas/requirements/FIELD.txt``. All of the
table is made by ``atlas/whole.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from atlas import case as cases  # noqa: E402 (found by the line above)
from atlas.environments import Environments, NoEnvironmentError  # noqa: E402
from atlas.verdict import LETS_GO, LONG_NS, Figures, agree, verdict  # noqa: E402

HERE = Path(__file__).resolve().parent
BUILD = ROOT / "build" / "atlas"
DATA = ROOT / "docs" / "atlas"
VERSION = 1
TIMEOUT_SECONDS = 180


def main() -> int:
    """Measure what is asked for; 1 if a case failed or the witness disagrees."""
    options = parse()
    version = options.python or "{}.{}".format(*sys.version_info[:2])
    path = options.data.absolute() / f"{version}.json"
    asked = list(chosen(options.cases))
    if options.missing:
        asked = [case for case in asked if not is_measured(case, rows_of(path))]
    build = options.build.absolute()
    made = Environments(version, options.interpreter or f"python{version}", build, options.lock)
    if not options.here:
        made.make(case.field for case in asked)
    bad = 0
    for case in asked:
        try:
            python = sys.executable if options.here else made.python(case.field)
            row = measure(python, case, build)
        except NoEnvironmentError as error:
            row = {**texts(case), "error": str(error)}
        bad += "error" in row or not row["witness_agrees"]
        print(line(row), flush=True)
        keep(path, row)
    retell(path)
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
    parser.add_argument("--lock", action="store_true", help="write the lock files anew")
    parser.add_argument("--missing", action="store_true", help="only what has no figures yet")
    parser.add_argument("--build", type=Path, default=BUILD, help="where environments are made")
    parser.add_argument("--data", type=Path, default=DATA, help="where the figures are kept")
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


def measure(python: str, case: cases.Case, build: Path) -> dict[str, Any]:
    """Return the row of a case: twice traced beside a competitor, once by the witness."""
    row: dict[str, Any] = {**texts(case), "date": time.strftime("%Y-%m-%d")}
    before = steal()
    try:
        row["version"] = version_of(python, case.package)
        first = once(python, "both", case, build)
        alone, rivals = first["alone"], [first["rival"], once(python, "compete", case, build)]
        if 1e9 * alone["seconds"] < 1.5 * LONG_NS and alone["held_share"] > 0.2:
            raise ValueError(f"it took {alone['seconds']:.3f} s: too short for a long hold")
        witness = once(python, "witness", case, build)
        if not settled(alone, rivals, witness):  # perhaps the machine was busy with other things
            rivals.append(once(python, "compete", case, build))
            witness = min(
                witness, once(python, "witness", case, build), key=lambda one: one["longest_ns"]
            )
    except (subprocess.SubprocessError, ValueError) as error:
        return {**row, "error": str(error).strip()[-500:]}
    row["load"] = round(os.getloadavg()[0], 2)
    row["steal_seconds"] = round(steal() - before, 2)
    return {**row, **alone, **judged(alone, rivals, witness)}


def steal() -> float:
    """Return the CPU seconds that the host has taken from this machine so far."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def once(python: str, kind: str, case: cases.Case, build: Path) -> dict[str, Any]:
    """Return what one process says; the files that its set-up writes are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="atlas-") as scratch:
        own = {"PYTHONPATH": str(paths(build)), "PYTHONWARNINGS": "ignore", "TMPDIR": scratch}
        done = subprocess.run(
            [python, "-m", "atlas.measure", kind, case.field, case.name],
            cwd=build,  # the sources of gilknocker have no compiled modules
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
    if done.returncode:
        raise ValueError(done.stderr or f"exit status {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def paths(build: Path) -> Path:
    """Return a folder from which `atlas` is imported, and nothing else of ours."""
    folder = build / "path"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "atlas"
    if link.is_symlink() and link.resolve() != HERE:
        link.unlink()
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


def of(alone: dict[str, Any], wait_max_ns: int) -> str:
    """Return the verdict of one run."""
    return verdict(Figures(alone["seconds"], alone["held_share"], wait_max_ns))


def settled(alone: dict[str, Any], rivals: list[dict[str, Any]], witness: dict[str, Any]) -> bool:
    """Whether all runs say the same."""
    holds = [run["hold_max_ns"] for run in rivals]
    wait = max(run["wait_max_ns"] for run in rivals)
    return len({of(alone, hold) for hold in holds}) == 1 and agree(
        max(holds), wait, witness["longest_ns"]
    )


def judged(
    alone: dict[str, Any], rivals: list[dict[str, Any]], witness: dict[str, Any]
) -> dict[str, Any]:
    """Return the verdicts and what they are made from."""
    # A long hold is there each time; what a busy machine makes of a short one is not.
    best = min(rivals, key=lambda run: run["hold_max_ns"])
    longest = best["hold_max_ns"]
    said = of(alone, longest)
    return {
        **{name: value for name, value in best.items() if name != "seconds"},
        "freeing_max_ns": min(run["freeing_max_ns"] for run in rivals),
        "contended_seconds": best["seconds"],
        "witness_longest_ns": witness["longest_ns"],
        "witness_freeing_ns": witness["freeing_longest_ns"],
        "witness_agrees": agree(longest, best["wait_max_ns"], witness["longest_ns"]),
        "speed_up": witness["speed_up"] if said in LETS_GO else None,
        "verdict": said,
        "verdicts": [of(alone, run["hold_max_ns"]) for run in rivals],
        "same_again": len({of(alone, run["hold_max_ns"]) for run in rivals[:2]}) == 1,
    }


def line(row: dict[str, Any]) -> str:
    """Return a row for the terminal."""
    head = f"{row['field']}.{row['name']:32}"
    if "error" in row:
        return f"{head} FAILED: {row['error'].splitlines()[-1] if row['error'] else '?'}"
    marks = f", two threads {row['speed_up']:.1f}x" if row["speed_up"] else ""
    marks += "" if row["same_again"] else " (not the same again)"
    marks += "" if row["witness_agrees"] else " (THE WITNESS DISAGREES)"
    marks += "" if 0.2 <= row["seconds"] <= 1 else f" ({row['seconds']:.2f} s)"
    marks += "" if row["verdict"] == row["guess"] else f" (guessed: {row['guess']})"
    return (
        f"{head} {row['verdict']:12} held {row['held_share']:4.0%}, in one piece "
        f"{row['hold_max_ns'] / 1e6:.0f} ms, witness {row['witness_longest_ns'] / 1e6:.0f} ms, "
        f"freeing {row['freeing_max_ns'] / 1e6:.0f} ms{marks}"
    )


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows that a file has."""
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    return rows


def texts(case: cases.Case) -> dict[str, Any]:
    """Return what a row says without being measured."""
    names = ("field", "name", "package", "call", "size", "guess", "why")
    return {name: getattr(case, name) for name in names}


def is_measured(case: cases.Case, rows: list[dict[str, Any]]) -> bool:
    """Whether there are figures of a case and of the input that it has now."""
    return any(
        name_of(row) == (case.field, case.name) and row["size"] == case.size and "error" not in row
        for row in rows
    )


def retell(path: Path) -> None:
    """Let the rows say what their cases say now; rows without a case go."""
    known = {(case.field, case.name): case for case in chosen([])}
    rows = [
        # The input is what was measured: a case that has another one now is to be measured again.
        {**row, **texts(known[key]), "size": row["size"]}
        for row in rows_of(path)
        if (key := name_of(row)) in known
    ]
    if rows:
        write(path, rows)


def name_of(row: dict[str, Any]) -> tuple[str, str]:
    """Return what a row is known by."""
    return row["field"], row["name"]


def keep(path: Path, *new: dict[str, Any]) -> None:
    """Put rows in the places of those that were there; a failure leaves what was measured."""
    rows = {name_of(old): old for old in rows_of(path)}
    for row in new:
        if "error" not in row or "error" in rows.get(name_of(row), row):
            rows[name_of(row)] = row
    write(path, list(rows.values()))


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the data of a version, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "format": "gilknocker.atlas",
        "version": VERSION,
        "python": path.stem,
        "rows": sorted(rows, key=name_of),
    }
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main())
