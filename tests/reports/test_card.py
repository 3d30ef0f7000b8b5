"""The card that a notebook shows of a snapshot: what it says, and that it is sound HTML."""

from __future__ import annotations

import math
import re
import sys
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from hypothesis import given
from stories import MS, any_snapshots, held_by, tell

from gilknocker import Snapshot, compare
from gilknocker.reports import card as cards
from gilknocker.reports import words
from gilknocker.reports.svg import held_bar
from gilknocker.reports.workers import workers_card

HALF = ["held"] * 50 + ["free"] * 50
WAITS = [10_000] * 40 + [5 * MS] * 50 + [80 * MS]


def parsed(fragment: str) -> ElementTree.Element:
    """Read a fragment: only what closes all its tags and escapes all its text can be."""
    return ElementTree.fromstring(fragment)


def shown(element: ElementTree.Element) -> str:
    return re.sub(r"\s+", " ", " ".join(element.itertext()))


def labels(element: ElementTree.Element) -> list[str]:
    return [e.attrib["aria-label"] for e in element.iter() if e.attrib.get("role") == "img"]


def bars(element: ElementTree.Element) -> list[tuple[float, float, int]]:
    """Return left edge, height and count of each bar of the distribution."""
    found = []
    for rect in element.iter("{http://www.w3.org/2000/svg}rect"):
        for title in rect:
            count = int((title.text or "").rpartition(": ")[2])
            found.append((float(rect.attrib["x"]), float(rect.attrib["height"]), count))
    return found


def times_as_many(snapshot: Snapshot, factor: int) -> Snapshot:
    """Return a snapshot of `factor` times the same waits."""
    data = snapshot.to_dict()
    for name in ("knocks", "wait_total_ns", "knock_observed_ns"):
        data[name] *= factor
    data["histogram"] = [[low, high, count * factor] for low, high, count in data["histogram"]]
    return Snapshot.from_dict(data)


def calls_to_render(snapshot: Snapshot) -> int:
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        cards.card(snapshot)
    finally:
        sys.setprofile(None)
    return count


def test_the_card_says_what_the_report_says() -> None:
    snapshot = tell(HALF, WAITS, method="knock", in_flight_ns=100 * MS)
    text = shown(parsed(snapshot._repr_html_()))
    assert words.interpretation(snapshot) in text
    caveats = words.caveats(snapshot)
    assert len(caveats) >= 3
    for caveat in caveats:
        assert f"Note: {caveat}" in text
    for label, figures in words.facts(snapshot):
        assert f"{label} {figures}" in text
    for figure in ("5.0 ms p50", "5.0 ms p90", "80 ms p99", "80 ms max"):
        assert figure in text


def test_charts_are_said_in_words() -> None:
    bar, distribution = labels(parsed(cards.card(tell(HALF, WAITS))))
    assert bar == "GIL held 50.0 % of the time (40.4 to 59.6, 95 % confidence)"
    assert distribution == "Distribution of 91 waits: p50 5.0 ms, p90 5.0 ms, p99 80 ms, max 80 ms"


def test_a_maximum_that_is_an_upper_bound() -> None:
    window = tell(HALF, [MS, 5 * MS, 3 * MS]) - tell(HALF[:50], [MS, 5 * MS])
    assert "≤ 3.0 ms max" in shown(parsed(cards.card(window)))


@given(any_snapshots)
def test_any_snapshot_has_a_card(snapshot: Snapshot) -> None:
    card = parsed(cards.card(snapshot))
    for svg in card.iter("{http://www.w3.org/2000/svg}svg"):
        drawn = " ".join(value for e in svg.iter() for value in e.attrib.values())
        assert not re.search(r"\b(nan|inf)\b", drawn)
    assert sum(count for _, _, count in bars(card)) == snapshot.knocks


@pytest.mark.parametrize("ticks", [[], ["disabled"] * 9])
def test_without_a_fraction_the_bar_is_empty(ticks: list[str]) -> None:
    card = parsed(cards.card(tell(ticks, [])))
    (svg,) = card.iter("{http://www.w3.org/2000/svg}svg")
    assert len(svg) == 1
    assert labels(card)[0].startswith(("GIL held unknown", "GIL held never"))


def test_the_bar_is_as_long_as_the_fraction() -> None:
    _, filled, whisker = parsed(held_bar(0.25, (0.2, 0.5), "a & b"))
    assert filled.attrib["width"] == "100.0"
    assert whisker.attrib["d"] == "M80.0 4v8M200.0 4v8M80.0 8H200.0"
    assert len(parsed(held_bar(math.nan, (0, 1), ""))) == 1


def test_bars_count_waits_on_a_logarithmic_axis() -> None:
    found = bars(parsed(cards.card(tell(HALF, [1_010] * 3 + [101_000] * 6 + [10_100_000]))))
    assert [count for _, _, count in found] == [3, 6, 1]
    (x1, h1, _), (x2, h2, _), (x3, h3, _) = found
    assert math.isclose(x2 - x1, x3 - x2, abs_tol=0.2)
    assert math.isclose(h2, 2 * h1, abs_tol=0.2) and math.isclose(h2, 6 * h3, abs_tol=0.2)


def test_one_wait_among_many_is_seen() -> None:
    data = times_as_many(tell(HALF, [1_010]), 1_000_000) + tell(HALF, [50 * MS])
    (_, highest, _), (_, lowest, count) = bars(parsed(cards.card(data)))
    assert count == 1 and highest / 100 < lowest < highest / 10


def test_rendering_takes_no_longer_for_more_knocks() -> None:
    few = tell(HALF, [round(1.01**n) for n in range(700, 1700)])
    many = times_as_many(few, 10_000)
    assert many.knocks == 10_000_000
    cards.card(few)
    assert abs(calls_to_render(many) - calls_to_render(few)) <= 20


def test_holders_are_listed_and_escaped() -> None:
    held = [("<script>x</script>\n&'\"\x00\udc80", 50)]
    held += [("x" * 30 + "-1", 5)]
    held += [(f"worker-{n}", 5) for n in range(9)]
    fragment = cards.card(held_by(tell(HALF, WAITS), held))
    assert "<script" not in fragment and fragment.encode()
    text = shown(parsed(fragment))
    assert "Held by <script>x</script> &'\" 50.0 %" in text
    assert "worker-3 5.0 %" in text and "worker-4" not in text
    assert "and 5 more, 25.0 %" in text
    assert f'title="{"x" * 30}-1 (8)">xxxxxxxxxxxx…xxxxxxxxx-1<' in fragment
    widths = re.findall(r'<i class="gk-fill" style="width:([0-9.]+%)">', fragment)
    assert widths == ["50.0%"] + ["5.0%"] * 5
    assert "Held by" not in shown(parsed(cards.card(tell(HALF, WAITS))))


def test_comparison() -> None:
    before, after = tell(["held"] * 95 + ["free"] * 5, WAITS), tell(HALF, [10_000] * 90)
    comparison = compare(before, after, names=("<b>a</b>", "b\n&"))
    fragment = comparison._repr_html_()
    text = shown(parsed(fragment))
    assert "<b>a" not in fragment and "A: <b>a</b>, 100 ms" in text
    lines = str(comparison).splitlines()
    assert repr(comparison) == str(comparison)
    assert lines[1].startswith("B: b &, ")  # on one line
    for line in lines[2:6]:
        assert re.sub(r"\s+", " ", line).strip() in text
    assert "how much runs differ by themselves, only more runs can tell." in text
    assert comparison.held is not None and comparison.held.is_certain
    other = compare(tell(HALF, WAITS, method="knock"), after)
    assert "A: before, 100 ms" in str(other)
    assert "measured by different methods, 'knock' and 'look'" in shown(parsed(other._repr_html_()))


def test_what_cannot_be_printed_of_names_is_not_shown() -> None:
    compared = compare(tell(HALF, WAITS), tell(HALF, WAITS), names=("a\0b", "\x1b[31mred"))
    for text in (str(compared), compared._repr_html_()):
        assert "A: a b, " in text and "B:  [31mred, " in text
        assert "\0" not in text and "\x1b" not in text
    assert compared.to_dict()["names"] == ["a\0b", "\x1b[31mred"]


def test_compare_takes_snapshots_only() -> None:
    with pytest.raises(TypeError, match=r"^b must be a Snapshot, not 'after\.json'$"):
        compare(tell([], []), "after.json")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "error", "shown"),
    [
        (("a",), ValueError, "a tuple of 1"),
        (("a", "b", "c"), ValueError, "a tuple of 3"),
        ((1, 2), TypeError, "a tuple of 2"),
        ("ab", TypeError, "'ab'"),
        (5, TypeError, "5"),
    ],
)
def test_compare_takes_two_names(names: Any, error: type[Exception], shown: str) -> None:
    with pytest.raises(error, match=rf"^names must be two strings, not {shown}$"):
        compare(tell([], []), tell([], []), names=names)


class Texts(HTMLParser):
    """What a page shows of a fragment once `kept` elements and no attributes are left of it.

    As bleach does: what it does not know it shows as text.
    """

    def __init__(self, fragment: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.feed(fragment)
        self.close()

    kept = frozenset(["div", "span", "b", "i"])
    block = frozenset(["div"])

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.text += "\n" if tag in self.block else ""
        if tag not in self.kept:
            self.text += self.get_starttag_text() or ""

    def handle_endtag(self, tag: str) -> None:
        self.text += "\n" if tag in self.block else ""
        if tag not in self.kept:
            self.text += f"</{tag}>"

    def handle_data(self, data: str) -> None:
        self.text += data


HELD = held_by(tell(HALF, WAITS), [("worker-1", 5), ("MainThread", 5)])
WORKERS = {
    "tcp://10.0.0.1:4001": tell(HALF, WAITS),
    "tcp://10.0.0.2:4002": tell(["held"] * 25 + ["free"] * 75, WAITS),
}


@pytest.mark.parametrize(
    ("fragment", "lines"),
    [
        (
            HELD._repr_html_(),
            [
                "GIL held 50.0 % of the time (40.4 to 59.6, 95 % confidence) in 100 ms",
                "5.0 ms p50 5.0 ms p90 80 ms p99 80 ms max",
                "worker-1 50.0 %",
                "How it was measured",
            ],
        ),
        (
            compare(HELD, tell(HALF, [10_000] * 90))._repr_html_(),
            ["A: before, 100 ms", "A B B - A (95 % interval)", "wait p99 80 ms 10 µs"],
        ),
        (
            workers_card(WORKERS, Snapshot.merge(WORKERS.values())),
            [
                "GIL held of 2 workers in 100 ms",
                "25.0 % least 37.5 % median 50.0 % most",
                "The workers are much alike: their GILs were held 25.0 % to 50.0 % of the time.",
                "By worker",
                "tcp://10.0.0.1:4001 50.0 %",
                "tcp://10.0.0.2:4002 25.0 %",
            ],
        ),
    ],
    ids=["card", "comparison", "workers"],
)
def test_in_a_notebook_that_is_sanitized_it_is_text_with_its_spaces(
    fragment: str, lines: list[str]
) -> None:
    text = re.sub(r"[^\S\n]+", " ", Texts(fragment).text)
    shown_lines = [line.strip() for line in text.splitlines()]
    for line in lines:
        assert any(one.startswith(line) for one in shown_lines), (line, shown_lines)
    assert "<" not in text and "{" not in text


@given(any_snapshots)
def test_a_notebooks_card_is_the_card(snapshot: Snapshot) -> None:
    plain, notebook = cards.card(snapshot), snapshot._repr_html_()
    charts = [e for e in parsed(notebook).iter() if "data:image/svg" in e.attrib.get("style", "")]
    assert (
        labels(parsed(notebook))
        == labels(parsed(plain))
        == [chart.attrib["aria-label"] for chart in charts]
    )
    for chart in charts:
        (drawing,) = re.findall(r"url\('data:image/svg\+xml,(.*?)'\)", chart.attrib["style"])
        assert parsed(unquote(drawing)).tag.endswith("svg")
        assert re.search(r"aspect-ratio:400/\d+", chart.attrib["style"])
    assert not {"style", "svg", "table", "details"} & {e.tag for e in parsed(notebook).iter()}
    without = re.sub(r"<svg .*?</svg>", "", plain, flags=re.DOTALL)
    assert shown(parsed(notebook)) == shown(parsed(without))
