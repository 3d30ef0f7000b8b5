"""Numbers as people read them, on every stream there is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from runs import metered, python, split
from stories import MS, tell

from gilknocker._durations import parse_duration
from gilknocker._units import fitting, format_ns


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "10 µs ✓"), ("latin-1", "10 us \\u2713"), ("ascii", "10 us \\u2713")],
)
def test_what_a_stream_cannot_show(encoding: str, shown: str) -> None:
    assert fitting("10 µs ✓", stream(encoding)) == shown
    assert fitting("10 µs", stream("latin-1")) == "10 µs"
    shown.encode(encoding)


@pytest.mark.parametrize("odd", [None, object(), io.StringIO()])
def test_streams_without_an_encoding(odd: object) -> None:
    assert fitting("10 µs", odd) == "10 µs"


@pytest.mark.parametrize("unit", ["us", "\u00b5s", "\u03bcs"])
def test_every_way_to_write_microseconds(unit: str) -> None:
    assert parse_duration("limit", f"1.5 {unit}") == 1500


@pytest.fixture
def report(tmp_path: Path) -> Path:
    snapshot = tell(["held"] * 50 + ["free"] * 50, [10_000] * 20 + [MS])
    (tmp_path / "r.json").write_text(json.dumps(snapshot.to_dict()))
    return tmp_path / "r.json"


@pytest.mark.parametrize(("encoding", "unit"), [("utf-8", "µs"), ("ascii", "us")])
def test_every_command(encoding: str, unit: str, report: Path) -> None:
    env = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    shown = python("-m", "gilknocker", "show", report, env=env)
    assert shown.returncode == 0 and f"p50 10 {unit}" in shown.stdout
    compared = python("-m", "gilknocker", "compare", report, report, env=env)
    assert compared.returncode == 0 and f"10 {unit}" in compared.stdout
    code = (
        "import gilknocker, json, sys\n"
        "print(gilknocker.Snapshot.from_dict(json.load(open(sys.argv[1]))))"
    )
    printed = python("-c", code, report, env=env)
    assert printed.returncode == 0 and f"p50 10 {unit}" in printed.stdout


def test_the_report_of_a_run_on_a_stream_of_ascii() -> None:
    code = "import time; time.sleep(0.3)"
    got = split(python("-m", "gilknocker", "run", "-c", code, env={"PYTHONIOENCODING": "ascii"}))
    assert got.report.isascii() and "\\x" not in got.report


def test_microseconds_have_their_letter() -> None:
    assert format_ns(10_400) == "10 µs"
    got = metered("-c", "import time; time.sleep(0.3)", env={"PYTHONIOENCODING": "utf-8"})
    assert " us" not in got.report
