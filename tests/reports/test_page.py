"""`gilknocker run --html FILE`: one file with all there is to see."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from runs import metered, python
from stories import MS, held_by, tell

from gilknocker import ThreadTimes
from gilknocker.reports import card as cards
from gilknocker.reports import words
from gilknocker.reports.page import page
from gilknocker.reports.run import Run
from gilknocker.reports.svg import wait_timeline

SVG = "{http://www.w3.org/2000/svg}"
HALF = ["held"] * 50 + ["free"] * 50
WAITS = [10_000] * 40 + [5 * MS] * 50 + [80 * MS]
SNAPSHOT = tell(HALF, WAITS, raw=True, capacity=1000)


def read(text: str) -> ElementTree.Element:
    """Read a page, which must close what it opens and need no other file."""
    assert text.startswith("<!DOCTYPE html>\n") and text.endswith("</html>\n")
    links = r"""(?:src|href|action)=|url\(|@import|<(?:script|link|img|iframe|object)"""
    assert not re.search(links, text)
    return ElementTree.fromstring(text.partition("\n")[2])


def text_of(element: ElementTree.Element) -> str:
    return re.sub(r"\s+", " ", " ".join(element.itertext()))


def table(root: ElementTree.Element) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]


def dots(chart: ElementTree.Element) -> list[tuple[float, float]]:
    drawn = chart.findall(f"{SVG}path")[0].attrib["d"]
    return [(float(x), float(y)) for x, y in re.findall(r"M(\S+) (\S+)h0", drawn)]


def test_page() -> None:
    text = page(Run(SNAPSHOT, ["x.py", "<b>&"], 3))
    root = read(text)
    first = words.text(SNAPSHOT, program=["x.py", "<b>&"], exit_status=3).splitlines()[0]
    assert root.findtext("head/title") == root.findtext("body/h1") == first
    assert cards.card(SNAPSHOT) in text
    for line in words.text(SNAPSHOT).splitlines()[1:]:
        assert re.sub(r"\s+", " ", line).strip() in text_of(root)
    assert "started 2023-11-14 22:13:20 UTC" in text_of(root)
    charts = [svg.attrib["aria-label"] for svg in root.iter(f"{SVG}svg")]
    assert len(charts) == 3
    assert charts[2] == "91 waits over time, the longest 80 ms at 0.00 s"


def test_page_without_raw_waits_or_holders_has_no_sections_for_them() -> None:
    root = read(page(Run(tell(HALF, WAITS), ["x.py"], 0)))
    assert len(list(root.iter(f"{SVG}svg"))) == 2 and table(root) == []
    root = read(page(Run(tell([], [], raw=True), ["x.py"], 0)))
    assert len(list(root.iter(f"{SVG}svg"))) == 1


def test_table_of_holders() -> None:
    root = read(page(Run(held_by(SNAPSHOT, [("<i>a", 3), ("b\n", 1)]), ["x.py"], 0)))
    assert table(root) == [
        ["thread", "native id", "share"],
        ["<i>a", "7", "75.0 %"],
        ["b ", "8", "25.0 %"],
    ]


def test_table_of_threads() -> None:
    times = (3 * MS, 2 * MS, 5 * MS, 10 * MS, 21, 20, 19, MS, 4 * MS)
    threads = [
        ThreadTimes(9, 2, "meter", True, True, *times),
        ThreadTimes(8, 1, "less", False, True, 2 * MS, *times[1:]),
        ThreadTimes(7, 0, "<i>", False, True, *times),
    ]
    root = read(page(Run(held_by(SNAPSHOT, [("other", 3)]), ["x.py"], 0, threads=threads)))
    heads, *rows = table(root)
    assert [row[0] for row in rows] == ["<i>", "less", "meter"]
    assert dict(zip(heads, rows[0], strict=True)) == {
        "thread": "<i>",
        "native id": "7",
        "held": "3.0 ms",
        "waited": "2.0 ms",
        "neither": "5.0 ms",
        "times taken": "21",
        "made to let go": "19",
        "longest hold": "1.0 ms",
        "longest wait": "4.0 ms",
    }
    assert "longest hold" in root.findtext(".//pre", "")


def test_table_of_very_many_threads_stays_small() -> None:
    def one(number: int) -> ThreadTimes:
        return ThreadTimes(number, number, f"t{number}", False, True, number, *[0] * 8)

    threads = [one(number) for number in range(10_000)]
    text = page(Run(SNAPSHOT, ["x.py"], 0, threads=threads))
    _, *rows = table(read(text))
    assert [row[0] for row in rows] == [f"t{number}" for number in range(9_999, 9_799, -1)]
    assert "and 9800 threads more" in text and len(text) < 200_000


def test_timeline() -> None:
    chart = ElementTree.fromstring(wait_timeline([(0, 1_000), (1, 1_000), (2, 100_000)], 2, "<"))
    (x1, y1), (x2, y2), (x3, y3) = dots(chart)
    assert abs((x2 - x1) - (x3 - x2)) <= 2 and x1 == 44 and 394 <= x3 <= 398
    assert y1 == y2 > y3
    assert chart.attrib["aria-label"] == "<"
    axis = [text.text for text in chart.iter(f"{SVG}text")]
    assert axis == ["1 µs", "10 µs", "100 µs", "1 ms", "0 s", "1 s", "2 s"]


def test_timeline_of_very_many_waits_stays_small() -> None:
    waits = [(n / 100_000, 1_000 * (n % 977)) for n in range(100_000)]
    assert len(wait_timeline(waits, 1, "")) < 200_000
    assert dots(ElementTree.fromstring(wait_timeline([(0.0, 0)], 0, "")))


def test_run_writes_it(tmp_path: Path) -> None:
    code = "import time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
    got = metered("-c", code, "ä<", options=["--html", "out.html"], cwd=tmp_path)
    assert (got.returncode, got.stderr) == (0, "")
    assert os.listdir(tmp_path) == ["out.html"]
    root = read((tmp_path / "out.html").read_text(encoding="utf-8"))
    assert root.findtext("head/title") == got.report.splitlines()[0]
    label = list(root.iter(f"{SVG}svg"))[-1].attrib["aria-label"]
    assert re.match(r"\d+ waits over time, the longest ", label)


def test_both_files_and_what_the_program_does_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "html.py").write_text("1 / 0")
    (tmp_path / "program.py").write_text("import sys; print('numpy' in sys.modules)")
    got = metered("program.py", options=["--html=a.html", "--json=a.json"], cwd=tmp_path)
    assert (got.returncode, got.stdout, got.stderr) == (0, "False\n", "")
    assert {"a.html", "a.json"} <= set(os.listdir(tmp_path))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--html"], "--html needs a value"),
        (["--html=", "x.py"], "--html needs the name of a file"),
        (["--html", "none/out.html", "x.py"], "--html cannot write 'none/out.html'"),
    ],
)
def test_usage_errors(words: list[str], message: str, tmp_path: Path) -> None:
    got = python("-m", "gilknocker", "run", *words, cwd=tmp_path)
    assert got.returncode == 2 and got.stderr.count("\n") == 1
    assert got.stderr.startswith(f"gilknocker: error: {message}")


def test_words_that_are_no_unicode_are_written(tmp_path: Path) -> None:
    got = metered("-c", "pass", "\udcff", options=["--html", "a.html"], cwd=tmp_path)
    assert got.returncode == 0
    read((tmp_path / "a.html").read_text(encoding="utf-8"))
