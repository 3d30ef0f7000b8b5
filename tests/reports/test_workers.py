"""Many workers side by side: the one that is unlike the others is seen."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import MS, any_snapshots, tell

from gilknocker import Snapshot
from gilknocker.reports import workers as views


def busy(percent: int, waits: list[int] | None = None) -> Snapshot:
    return tell(["held"] * percent + ["free"] * (100 - percent), waits or [10_000])


ALIKE = {"a": busy(20), "b": busy(24), "c": busy(22)}
ONE = {"a": busy(2), "b": busy(99, [50 * MS]), "c": busy(4), "d": busy(3)}
SOME = {**ONE, "e": busy(95), "f": busy(1), "g": busy(1)}
UNKNOWN = {"new": tell([], []), "free-threaded": tell(["disabled"] * 5, [], gil_enabled=False)}


def test_one_that_is_unlike_the_others_is_named() -> None:
    assert views.sentence(ONE) == (
        "One worker is unlike the others: the GIL of b was held 99.0 % of the time, "
        "the median worker's 3.5 %."
    )


def test_so_is_how_many_there_are() -> None:
    assert views.sentence(SOME) == (
        "Not all workers are alike: of 2 of 7, the GIL was held for 90.0 % of the time or more, "
        "the median worker's 3.0 %."
    )


def test_workers_that_are_alike() -> None:
    assert views.sentence(ALIKE) == (
        "The workers are much alike: their GILs were held 20.0 % to 24.0 % of the time."
    )


def test_those_of_which_nothing_is_known_count_for_nothing() -> None:
    assert views.sentence(UNKNOWN).startswith("Nothing is known")
    assert views.held(ONE | UNKNOWN) == views.held(ONE)
    lines = views.text(ALIKE | UNKNOWN).splitlines()
    assert [line.split() for line in lines] == [
        ["worker", "held", "wait", "p99", "wait", "max"],
        ["a", "20.0%", "10", "µs", "10", "µs"],
        ["b", "24.0%", "10", "µs", "10", "µs"],
        ["c", "22.0%", "10", "µs", "10", "µs"],
        ["free-threaded", "-", "-", "-"],
        ["new", "-", "-", "-"],
        ["least", "20.0%", "10", "µs", "10", "µs"],
        ["median", "22.0%", "10", "µs", "10", "µs"],
        ["most", "24.0%", "10", "µs", "10", "µs"],
    ]
    assert views.text({}) == "no workers"


def test_a_worker_that_is_called_median_stays_one() -> None:
    lines = views.text({"median": busy(50), "x": busy(10)}).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["median", "50.0%"],
        ["x", "10.0%"],
        ["least", "10.0%"],
        ["median", "30.0%"],
        ["most", "50.0%"],
    ]


class Text(HTMLParser):
    """The text of a page, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


def test_the_card_has_the_most_first_and_the_rest_as_a_number() -> None:
    many = {f"tcp://10.0.0.{n}:1": busy(n) for n in range(1, 31)}
    card = views.workers_card(many, Snapshot.merge(many.values()))
    text = re.sub(r"\s+", " ", " ".join(ElementTree.fromstring(card).itertext()))
    assert "of 30 workers" in text and "and 18 more, with less" in text
    assert text.index("tcp://10.0.0.30:1") < text.index("tcp://10.0.0.29:1")
    assert "tcp://10.0.0.18:1" not in text
    assert "30.0 % most" in text and "15.5 % median" in text and "1.0 % least" in text


@given(st.dictionaries(st.text(max_size=5), any_snapshots, max_size=4))
def test_every_card_is_sound(workers: dict[str, Snapshot]) -> None:
    try:
        merged = Snapshot.merge(workers.values()) if workers else None
    except ValueError:  # of different methods
        return
    ElementTree.fromstring(views.workers_card(workers, merged))
    views.text(workers)


def test_the_page_escapes_what_is_not_ours() -> None:
    odd = {"<script>x</script>": busy(50), "b": busy(40)}
    page = views.workers_page(odd, Snapshot.merge(odd.values()), "<b>mine</b>")
    assert "script" not in Text(page).tags
    assert "<h1>&lt;b&gt;mine&lt;/b&gt;</h1>" in page
    words = "".join(Text(page).words)
    assert "The GIL that was held most: <script>x</script>" in words
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")  # it needs nothing else


def test_no_workers() -> None:
    assert "no workers" in views.workers_card({}, None)
    with pytest.raises(ValueError, match="at least one"):
        Snapshot.merge([])
