"""The atlas: tiny cases through the whole machinery, and the verdicts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from needs import needs_tracer

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "atlas").exists(), reason="needs the checkout")

TINY = """
import threading
import time

from atlas.case import Field
from gilknocker.testing import hold_gil

FIELD = Field(__name__)


@FIELD.case("python", "hold_gil(0.3)", guess="keeps")
def keeps(_):
    hold_gil(0.3)


@FIELD.case("python", "sleep(0.3)", guess="releases")
def sleeps(_):
    time.sleep(0.3)


@FIELD.case("python", "sleep(0.2)", guess="releases", one_thread=True)
def sleeps_alone(_):
    assert threading.current_thread() is threading.main_thread()
    time.sleep(0.2)


@FIELD.case("python", "a failure", guess="keeps")
def fails(_):
    raise ValueError("no such thing")
"""
# The witness is without gilknocker: there the load is one that everybody has.
WITHOUT = "import sys\nhold_gil = lambda seconds: sum(range(int(seconds * 1e8)))\n"


@pytest.fixture
def atlas(tmp_path: Path) -> Path:
    shutil.copytree(
        ROOT / "atlas", tmp_path / "atlas", ignore=shutil.ignore_patterns("__pycache__")
    )
    program = TINY.replace("from gilknocker.testing import hold_gil\n", WITHOUT)
    (tmp_path / "atlas" / "fields" / "tiny.py").write_text(program)
    return tmp_path / "atlas"


def run(atlas: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, atlas / "run.py", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )


@needs_tracer
def test_tiny_cases_through_the_whole(atlas: Path) -> None:
    got = run(atlas, "--here", "tiny")
    assert got.returncode == 1 and "ValueError: no such thing" in got.stdout, got.stderr
    [path] = (atlas.parent / "docs" / "atlas").glob("*.json")
    data = json.loads(path.read_text())
    assert (data["format"], data["version"]) == ("gilknocker.atlas", 1)
    rows = {row["name"]: row for row in data["rows"]}
    assert set(rows) == {"keeps", "sleeps", "sleeps_alone", "fails"} and "error" in rows["fails"]
    assert rows["keeps"]["verdict"] in ("keeps", "long pieces")
    assert rows["keeps"]["held_share"] > 0.5 > 0.2 > rows["sleeps"]["held_share"]
    assert rows["keeps"]["witness_longest_ns"] > 20_000_000
    assert rows["sleeps"]["speed_up"] > 1.5
    assert rows["keeps"]["speed_up"] is rows["sleeps_alone"]["speed_up"] is None
    missing = run(atlas, "--here", "--missing", "tiny")
    assert "tiny.fails" in missing.stdout and "tiny.sleeps" not in missing.stdout


def test_a_competitor_wants_the_gil_all_the_time_but_not_for_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from atlas import measure

    assert measure.competitor()._beat() == 0
    monkeypatch.setattr(measure, "COMPETING_SECONDS", 0.0)
    assert measure.competitor()._beat() == 1_000_000  # slept, in ns


def test_what_there_is_not(atlas: Path) -> None:
    assert "no field 'nothing'; there are: " in run(atlas, "--here", "nothing").stderr
    assert "no case 'x' in tiny; there are: keeps" in run(atlas, "--here", "tiny.x").stderr


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(ROOT))
    from atlas import verdict

    return verdict


@pytest.mark.parametrize(
    ("seconds", "share", "longest_ms", "expected"),
    [
        (1.0, 1.0, 900, "keeps"),
        (1.0, 0.1, 600, "keeps"),
        (1.0, 1.0, 100, "long pieces"),
        (1.0, 1.0, 5, "gives way"),
        (1.0, 0.5, 5, "mixed"),
        (1.0, 0.01, 1, "releases"),
    ],
)
def test_verdicts(
    judge: object, seconds: float, share: float, longest_ms: int, expected: str
) -> None:
    from atlas.verdict import Figures, verdict

    assert verdict(Figures(seconds, share, longest_ms * 1_000_000)) == expected


@pytest.mark.parametrize(
    ("hold_ms", "wait_ms", "seen_ms", "expected"),
    [
        (1, 1, 2, True),
        (500, 500, 480, True),
        (500, 500, 300, True),
        (30, 30, 5, False),
        (25, 25, 15, True),
        (1, 540, 370, True),  # it lets go, and takes the GIL back before the other wakes
        (1, 540, 900, False),
        (1, 6, 40, False),
        (30, 540, 1, False),  # what is held in one piece is waited for
    ],
)
def test_agreement(judge: object, hold_ms: int, wait_ms: int, seen_ms: int, expected: bool) -> None:
    from atlas.verdict import agree

    assert agree(*(ms * 1_000_000 for ms in (hold_ms, wait_ms, seen_ms))) is expected


@pytest.fixture
def cases(judge: object) -> dict[tuple[str, str], object]:
    from atlas import case

    return {(field, name): one for field in case.names() for name, one in case.load(field).items()}


def test_all_fields_load(cases: dict[tuple[str, str], Any]) -> None:
    from atlas.verdict import VERDICTS

    for one in cases.values():
        assert one.guess in VERDICTS, one.key


def test_every_case_has_its_row(cases: dict[tuple[str, str], Any]) -> None:
    from atlas import table

    for version, rows in table.load().items():
        measured = {(row["field"], row["name"]): row for row in rows}
        fields = {row["field"] for row in rows}
        assert set(measured) == {key for key in cases if key[0] in fields}, version
        if version == "3.12":
            assert set(measured) == set(cases)
        for key, row in measured.items():
            case = cases[key]
            # Not the input: a row names the one that was measured.
            said = (case.package, case.call, case.guess, case.why)
            assert said == tuple(row[k] for k in ("package", "call", "guess", "why")), key


def test_every_field_is_pinned(cases: dict[tuple[str, str], Any]) -> None:
    from atlas import table

    for version, rows in table.load().items():
        for row in rows:
            lock = (ROOT / "atlas" / "locks" / version / f"{row['field']}.txt").read_text()
            pinned = f"{row['package']}=={row['version']}".lower().replace("_", "-")
            if row["package"] != "python":
                assert pinned in lock.lower().replace("_", "-").splitlines(), row["name"]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (("releases", 0.17), ("mixed", 0.22), False),
        (("releases", 0.0), ("mixed", 0.5), True),
        (("keeps", 1.0), ("long pieces", 1.0), True),
        (("keeps", 1.0), ("keeps", 0.8), False),
    ],
)
def test_what_differs_between_pythons(
    a: tuple[str, float], b: tuple[str, float], expected: bool, judge: object
) -> None:
    from atlas import table

    rows = [dict(zip(("verdict", "held_share"), row, strict=True)) for row in (a, b)]
    assert table.differ(rows) is expected


def test_the_page_is_of_the_data(judge: object) -> None:
    from atlas import table

    page = (ROOT / "docs" / "atlas.md").read_text(encoding="utf-8")
    assert table.page(page) == page, "python atlas/table.py"


def test_what_a_busy_machine_took_is_no_hold(judge: object, monkeypatch: Any) -> None:
    from atlas import busy

    class Told:
        def __init__(self) -> None:
            self.at = 0

        def read(self) -> tuple[int, int]:
            return self.at // 2, 0 if self.at < 10_000_000 else 4_000_000

    delays = Told()
    monkeypatch.setattr(busy.time, "monotonic_ns", lambda: delays.at)
    gaps = busy.Gaps(delays)
    gaps.start()
    delays.at = 10_000_000
    gaps.mark()
    delays.at = 11_000_000  # too short
    gaps.mark()
    delays.at = 16_000_000
    gaps.mark(1_000_000)
    first, second = gaps.kept
    assert first == (0, 10_000_000, 5_000_000, 4_000_000)
    assert second == (11_000_000, 15_000_000, 2_500_000, 0)
    assert [first.own(length) for length in (10_000_000, 7_000_000)] == [6_000_000, 5_000_000]
    assert second.own(3_000_000) == 3_000_000


def test_delays_of_threads_are_read(judge: object) -> None:
    from atlas.busy import Delays

    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    # The other's line is the shorter one: nothing of the first may be left of it.
    delays = Delays(threading.get_native_id(), other.native_id or 0, threading.get_native_id())
    try:
        before = delays.read()
        sum(range(3_000_000))
        after = delays.read()
    finally:
        delays.close()
        stop.set()
        other.join()
    assert after[0] > before[0] > 0 and after[1] >= before[1] >= 0
