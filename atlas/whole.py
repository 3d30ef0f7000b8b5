#!/usr/bin/env python3
"""Make all of the atlas: ``atlas/whole.py [--interpreter X.Y=PATH ...]``.

Measures every field on 3.12, the standard library's on 3.10, 3.14 and 3.15 too, and the small
calls; puts the figures into ``docs/atlas/`` and the tables into ``docs/atlas.md``; says how long it
took, for how many rows two runs gave the same verdict, and for how many the witness agrees. Until
all is measured ``docs/`` stays as it is. Begun again after it was stopped, it goes on where it was;
what failed is tried again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from atlas import run  # noqa: E402 (found by the line above)

HERE = Path(__file__).resolve().parent
STDLIB = ("stdlib", "stdlib_io")
FIELDS: dict[str, tuple[str, ...]] = {"3.12": (), "3.10": STDLIB, "3.14": STDLIB, "3.15": STDLIB}
SMALL = ("3.12", "3.14", "3.15")
# What the whole must show.
SAME, AGREE, MINUTES = 0.97, 0.99, 90


def main() -> int:
    """Measure all; 1 if something failed, or the whole does not show what it must."""
    options = parse()
    kept = Kept(options.build.absolute() / "whole", options.afresh)
    interpreters = dict(word.split("=", 1) for word in options.interpreter)
    for version in FIELDS:
        kept.time(measure, version, interpreters.get(version, f"python{version}"), kept)
    for version in SMALL:
        kept.time(small, version, kept)
    failed = [key for version in FIELDS for key in without_figures(version, kept)]
    failed += [f"small calls on {version}" for version in SMALL if version not in kept.small()]
    publish(kept)
    for key in failed:
        print(f"FAILED: {key}; begin again to try it once more")
    good = summary(kept)
    kept.finish(bool(failed))
    return bool(failed or not good)


def parse() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--interpreter",
        action="append",
        default=[],
        metavar="X.Y=PATH",
        help="a Python to make environments with (pythonX.Y)",
    )
    parser.add_argument("--build", type=Path, default=run.BUILD, help="where environments are made")
    parser.add_argument("--afresh", action="store_true", help="forget what was measured so far")
    return parser.parse_args()


class Kept:
    """What was measured so far, in a folder of its own, and how long it took.

    Parameters
    ----------
    folder : Path
        Where it is; what a finished run left there is forgotten.
    afresh : bool
        Forget what an unfinished one left, too.
    """

    def __init__(self, folder: Path, afresh: bool) -> None:
        self.folder = folder
        self._finished = folder / "finished"
        if afresh or self._finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._seconds = folder / "seconds"

    @property
    def seconds(self) -> float:
        """How long it took so far, the starts before this one included."""
        return float(self._seconds.read_text()) if self._seconds.exists() else 0.0

    def time(self, work: Callable[..., None], *given: Any) -> None:
        """Do some work, and count its time even if it is stopped."""
        begin = time.monotonic()
        try:
            work(*given)
        finally:
            self._seconds.write_text(f"{self.seconds + time.monotonic() - begin}")

    def path(self, version: str) -> Path:
        """Return where the rows of a version are."""
        return self.folder / f"{version}.json"

    def small(self) -> dict[str, Any]:
        """Return the small calls by version of Python."""
        path = self.path("small")
        pythons: dict[str, Any] = json.loads(path.read_text())["pythons"] if path.exists() else {}
        return pythons

    @property
    def build(self) -> Path:
        """Where the environments are that this was measured in."""
        return self.folder.parent

    def python(self, version: str) -> Path:
        """Return a Python of that version with gilknocker."""
        return self.build / version / "stdlib" / "bin" / "python"

    def finish(self, failed: bool) -> None:
        """Let the next run begin anew, if nothing is left to try again."""
        if not failed:
            self._finished.touch()


def measure(version: str, interpreter: str, kept: Kept) -> None:
    """Measure what has no figures yet of a version; what failed once more."""
    for _ in range(2):
        if not without_figures(version, kept):
            return
        print(f"Python {version}: {len(without_figures(version, kept))} calls", flush=True)
        words = ["--python", version, "--interpreter", interpreter, "--missing", *FIELDS[version]]
        folders = ("--build", kept.build, "--data", kept.folder)
        _try(kept.build, sys.executable, HERE / "run.py", *words, *folders)


def without_figures(version: str, kept: Kept) -> list[str]:
    """Return the names of what is still to be measured."""
    rows = run.rows_of(kept.path(version))
    asked = run.chosen(list(FIELDS[version]))
    return [f"{case.key} on {version}" for case in asked if not run.is_measured(case, rows)]


def small(version: str, kept: Kept) -> None:
    """Measure the small calls, unless they are."""
    if version not in kept.small():
        print(f"Python {version}: small calls", flush=True)
        _try(kept.build, kept.python(version), HERE / "small.py", "--data", kept.path("small"))


def publish(kept: Kept) -> None:
    """Put what was measured into docs/: what was not is as it was."""
    for version in FIELDS:
        path = run.DATA / kept.path(version).name
        run.keep(path, *(row for row in run.rows_of(kept.path(version)) if "error" not in row))
        run.retell(path)
    if kept.small():
        path = run.DATA / "small.json"
        data = json.loads(path.read_text()) if path.exists() else {}
        new = json.loads(kept.path("small").read_text())
        pythons = {**data.get("pythons", {}), **new["pythons"]}
        path.write_text(json.dumps({**new, "pythons": pythons}, indent=1) + "\n")
    _try(kept.build, kept.python("3.12"), HERE / "table.py")  # it needs gilknocker


def _try(folder: Path, *words: str | Path) -> None:
    # Not in the sources of gilknocker, which have no compiled modules.
    try:
        subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"FAILED: {words[1]}: {error}")


def summary(kept: Kept) -> bool:
    """Say what the whole shows, and whether that is what it must."""
    rows = [row for version in FIELDS for row in run.rows_of(kept.path(version))]
    rows = [row for row in rows if "error" not in row]
    same = sum(row["same_again"] for row in rows) / max(1, len(rows))
    agree = sum(row["witness_agrees"] for row in rows) / max(1, len(rows))
    minutes = kept.seconds / 60
    print(f"{len(rows)} rows of {len(FIELDS)} Pythons in {minutes:.0f} minutes (limit {MINUTES})")
    print(f"two runs gave the same verdict for {same:.1%} of them (limit {SAME:.0%})")
    print(f"tracer and witness agree on {agree:.1%} (limit {AGREE:.0%})")
    lengthy = sum(0.2 <= row["seconds"] <= 1 for row in rows)
    print(f"{lengthy} of the calls took 0.2 to 1 s alone")
    return same >= SAME and agree >= AGREE and minutes <= MINUTES


if __name__ == "__main__":
    sys.exit(main())
