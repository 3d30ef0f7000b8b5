"""The file for the Perfetto UI: every slice is its event, to the nanosecond, at any uptime."""

from __future__ import annotations

import gzip
import json
import math
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from needs import needs_tracer
from runs import RUN, environment
from traces import DAY, EVENT, many, thread

from gilknocker import GilTracer, ThreadTimes, _core
from gilknocker._files import Target
from gilknocker.meters import chrome_trace

OURS = _core.FIRST_OWN_SERIAL


def events_of(rows: list[tuple[int, int, int, int]]) -> npt.NDArray[np.void]:
    return np.array(rows, dtype=EVENT)


def written(
    path: Path, events: npt.NDArray[np.void], threads: list[ThreadTimes], start_ns: int
) -> dict[str, Any]:
    """Write a trace and read it back, its decimals as decimals."""
    chrome_trace.write(Target(path), events, threads, start_ns)
    data: dict[str, Any] = json.loads(path.read_bytes(), parse_float=Decimal)
    return data


def slices(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in data["traceEvents"] if entry["ph"] == "X"]


def as_perfetto(micros: Decimal) -> int:
    """Return the ns that its trace_processor makes of a number: llround of a double times 1000."""
    ns = float(micros) * 1000.0
    return math.floor(ns + 0.5)


@pytest.mark.parametrize("days", [0, 1, 120, 400])
def test_slices_are_the_events(days: int, tmp_path: Path) -> None:
    start = days * DAY + 123_456_789
    events = many(20_000, start + 77)
    data = written(tmp_path / "trace", events, [thread(0, 6)], start)
    assert data["otherData"]["start_monotonic_ns"] == str(start)
    got = slices(data)
    assert len(got) == len(events)
    for row, event in zip(got, events.tolist(), strict=True):
        assert row["ts"] * 1000 + start == event[0]  # exactly: Decimal
        assert row["dur"] * 1000 == event[1] - event[0]
    ends = [as_perfetto(row["ts"]) + as_perfetto(row["dur"]) for row in got]
    for before, row in zip(ends, got[1:], strict=False):
        assert as_perfetto(row["ts"]) == before  # neither an overlap nor a gap


def test_it_would_be_seen_if_they_counted_from_the_boot(tmp_path: Path) -> None:
    """What version 1.0 did: floats of µs since then."""
    events = many(20_000, 120 * DAY)
    ends = [as_perfetto(Decimal(e / 1e3)) for e in events["end"].tolist()]
    starts = [as_perfetto(Decimal(s / 1e3)) for s in events["start"].tolist()]
    durations = (events["end"] - events["start"]).tolist()
    wrong = [s + d != e for s, d, e in zip(starts, durations, ends, strict=True)]
    assert sum(wrong) > 1000


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=30))
def test_every_duration_is_written_exactly(nanos: list[int]) -> None:
    rows = chrome_trace._micros(np.array(nanos, dtype=np.int64))
    for row, ns in zip(rows, nanos, strict=True):
        text = bytes(row).decode()
        assert json.loads(text, parse_float=Decimal) * 1000 == ns
        assert text.lstrip() == f"{ns // 1000}.{ns % 1000:03d}"


def test_tracks_have_the_system_s_numbers(tmp_path: Path) -> None:
    threads = [thread(0, os.getpid(), "MainThread"), thread(3, 9, "w3"), thread(4, 6, "w4")]
    events = events_of([(10, 20, 0, 0), (20, 30, 3, 0), (30, 40, 4, 1), (40, 50, 70_000, 0)])
    data = written(tmp_path / "trace", events, threads, 0)
    *known, unknown = [row["tid"] for row in slices(data)]
    assert known == [os.getpid(), 9, 6] and unknown > 2**22
    names = {
        entry["tid"]: entry["args"]["name"]
        for entry in data["traceEvents"]
        if entry["name"] == "thread_name"
    }
    assert names == {os.getpid(): f"MainThread ({os.getpid()})", 9: "w3 (9)", 6: "w4 (6)"}


def test_numbers_that_are_given_out_again_are_told_apart(tmp_path: Path) -> None:
    threads = [thread(0, 5, "first"), thread(2, 5, "last"), thread(1, 5, "second")]
    events = events_of([(10, 20, 0, 0), (20, 30, 1, 0), (30, 40, 2, 0)])
    tids = [row["tid"] for row in slices(written(tmp_path / "trace", events, threads, 0))]
    assert len(set(tids)) == 3 and tids[2] == 5 and min(tids[:2]) > 2**22


def test_the_process_is_named_after_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for host in ("first", "second"):  # pid 6 of two containers
        monkeypatch.setattr(chrome_trace, "_host", lambda host=host: host)
        monkeypatch.setattr(os, "getpid", lambda: 6)
        [name, *_] = written(tmp_path / host, events_of([]), [], 0)["traceEvents"]
        assert name["name"] == "process_name" and name["pid"] == 6
        names.append(name["args"]["name"])
    assert names == ["GIL of process 6 on first", "GIL of process 6 on second"]
    monkeypatch.undo()
    assert chrome_trace._host() == os.uname().nodename


def test_held_fractions_at_400_days(tmp_path: Path) -> None:
    start = 400 * DAY
    events = events_of([(start + 1000 * n, start + 1000 * n + 250, 0, 0) for n in range(4000)])
    data = written(tmp_path / "trace", events, [thread(0, 1)], start)
    held = [entry["args"]["held"] for entry in data["traceEvents"] if entry["ph"] == "C"]
    assert len(held) == 1000
    assert float(np.mean([float(one) for one in held])) == pytest.approx(0.25, abs=0.01)
    assert all(0.2 <= float(one) <= 0.3 for one in held)


def test_our_own_holds_are_not_in_the_held_fraction(tmp_path: Path) -> None:
    events = events_of([(0, 500, OURS, 0), (500, 1000, 1, 0)])
    data = written(tmp_path / "trace", events, [thread(OURS, 1, ours=True), thread(1, 2)], 0)
    held = [entry["args"]["held"] for entry in data["traceEvents"] if entry["ph"] == "C"]
    assert set(held) == {Decimal("1.0000")}


def test_an_event_from_before_the_start(tmp_path: Path) -> None:
    [row] = slices(written(tmp_path / "t", events_of([(50, 250, 0, 0)]), [thread(0, 1)], 100))
    assert (row["ts"], row["dur"]) == (0, Decimal("0.200"))


def test_packed_and_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chrome_trace, "_BLOCK", 10)
    events, told = many(95, 10**9), []
    for name in ("trace.json", "trace.json.gz"):
        told.clear()
        target = Target(tmp_path / name)
        chrome_trace.write(target, events, [thread(0, 1)], 10**9, told.append)
        assert told == sorted(told) and len(told) == 11 and told[-1] == 1.0
    packed = gzip.decompress((tmp_path / "trace.json.gz").read_bytes())
    assert packed == (tmp_path / "trace.json").read_bytes()
    assert len(slices(json.loads(packed))) == 95


def test_names_that_json_must_quote(tmp_path: Path) -> None:
    name = 'a "quoted"\nname \\ \u20ac \udc80'
    data = written(tmp_path / "trace", events_of([]), [thread(0, 1, name)], 0)
    [found] = [e for e in data["traceEvents"] if e["name"] == "thread_name"]
    assert found["args"]["name"] == f"{name} (1)"


@needs_tracer
def test_of_a_tracer(tmp_path: Path) -> None:
    with GilTracer() as tracer:
        for _ in range(5):
            time.sleep(0.001)
    tracer.to_chrome_trace(tmp_path / "trace")
    data = json.loads((tmp_path / "trace").read_bytes(), parse_float=Decimal)
    start = int(data["otherData"]["start_monotonic_ns"])
    assert start <= tracer.snapshot().start_ns
    got = [(int(row["ts"] * 1000) + start, int(row["dur"] * 1000)) for row in slices(data)]
    events = tracer.events().tolist()
    assert got == [(event[0], event[1] - event[0]) for event in events] and got
    assert os.getpid() in {row["tid"] for row in slices(data)}  # the main thread's own number


# Signals are not inherited: in the background of a shell SIGINT is ignored.
SAVING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from gilknocker.meters import chrome_trace
whole = chrome_trace._block
def block(*args):
    os.kill(os.getpid(), {number})
    return whole(*args)
chrome_trace._block = block
import threading, time
for _ in range(20): time.sleep(0.001)
"""


@needs_tracer
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_a_signal_while_it_is_saved_leaves_the_old_file(
    number: int, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("old")
    done = subprocess.run(
        [sys.executable, *RUN, "--chrome-trace", name, "-c", SAVING.format(number=int(number))],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (tmp_path / name).read_text() == "old" and os.listdir(tmp_path) == [name]
    if number == signal.SIGINT:
        last = done.stderr.splitlines()[-1]
        assert done.returncode == 0
        assert last == f"gilknocker: interrupted: no trace in {name!r}"
    else:
        assert done.returncode == -number
