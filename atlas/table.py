#!/usr/bin/env python3
"""Write docs/atlas.md from docs/atlas/*.json: ``python atlas/table.py``."""

from __future__ import annotations

import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gilknocker._units import format_ns

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # last: the package is the installed one

from atlas.verdict import KEEPS_LONG, LETS_GO, LONG_NS  # noqa: E402 (found by the line above)

DOCS = ROOT / "docs"
PAGE = DOCS / "atlas.md"
BEGIN, END = "<!-- the tables: atlas/table.py -->", "<!-- end of the tables -->"
HEAD = (
    *("field", "call", "package", "input", "verdict", "held", "longest hold", "waits"),
    *("releases/s", "freeing", "two threads", "why", "measured"),
)


def main() -> None:
    """Put the tables between their marks."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """Return the page with its tables as the data have them."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n".join(lines(load()))
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


def load() -> dict[str, list[dict[str, Any]]]:
    """Return the rows by version of Python, those that were measured."""
    return {
        path.stem: [row for row in json.loads(path.read_text())["rows"] if "error" not in row]
        for path in sorted((DOCS / "atlas").glob("[0-9]*.json"), key=order)
    }


def order(path: Path) -> tuple[int, ...]:
    """Return what sorts versions as numbers."""
    return tuple(map(int, path.stem.split(".")))


def lines(rows: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Yield the page's middle."""
    main_version = max(rows, key=lambda version: len(rows[version]))
    table = rows[main_version]
    packages = {row["package"] for row in table}
    counts = Counter(row["verdict"] for row in table)
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    agree = sum(row["witness_agrees"] for row in table)
    same = sum(row["same_again"] for row in table)
    times = sorted(row["seconds"] for row in table)
    yield (
        f"{len(table)} calls of {len(packages)} packages on Python {main_version}: {said}. The "
        f"witness agrees on {agree}; two runs gave the same verdict for {same}, and the others "
        f"are marked. Alone the calls took {times[0]:.2f} to {times[-1]:.2f} s, half of them less "
        f"than {statistics.median(times):.2f} s.\n"
    )
    yield from surprises(table)
    yield "\n## The table\n"
    yield from markdown(HEAD, (cells(row) for row in table))
    yield from versions(rows)
    yield from small()


def surprises(table: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the calls that were guessed otherwise before the first run, where it matters."""
    sure = [row for row in table if row["same_again"] and row["witness_agrees"]]
    yield "## What surprises\n"
    yield "Guesses were written down before the first run.\n"
    for title, guessed, found in (
        ("They keep the GIL, though we had guessed that they let others run", LETS_GO, KEEPS_LONG),
        ("They let others run, though we had guessed that they keep it", KEEPS_LONG, LETS_GO),
    ):
        yield f"### {title}\n"
        for row in sure:
            if row["guess"] in guessed and row["verdict"] in found:
                yield f"- {named(row)}: {measured(row)}."
        yield ""
    kept = [row for row in sure if row["verdict"] in LETS_GO and freeing(row) > LONG_NS]
    if kept:
        yield "### They release the GIL, and freeing what they return keeps it\n"
    for row in kept:
        yield f"- {named(row)}: {milliseconds(freeing(row))} in one piece."


def named(row: dict[str, Any]) -> str:
    """Return how a list names a call."""
    size = f" ({row['size']})" if row["size"] else ""
    return f"`{row['call']}`{size} of {row['package']}"


def measured(row: dict[str, Any]) -> str:
    """Return what a list says of a call."""
    longest = milliseconds(row["hold_max_ns"])
    return f"{row['verdict']}, {longest} in one piece of {row['seconds']:.2f} s"


def freeing(row: dict[str, Any]) -> int:
    """Return for how long freeing the result holds the GIL: what tracer and witness both saw."""
    return min(row["freeing_max_ns"], row["witness_freeing_ns"])


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return a row's cells."""
    unsure = "" if row["same_again"] else " (not each time)"
    unsure += "" if row["witness_agrees"] else " (witness disagrees)"
    return (
        row["field"],
        f"`{row['call']}`",
        f"{row['package']} {row['version']}",
        row["size"],
        row["verdict"] + unsure,
        f"{row['held_share']:.0%} of {row['seconds']:.2f} s",
        milliseconds(row["hold_max_ns"]),
        waits(row),
        rate(row["releases"] / row["seconds"]),
        milliseconds(freeing(row)),
        f"{min(2, row['speed_up']):.1f}x" if (row["speed_up"] or 0) >= 1.5 else "",
        row["why"],
        row["date"],
    )


def rate(a_second: float) -> str:
    """Return releases a second; measuring makes some itself."""
    return "< 200" if a_second < 200 else f"{float(f'{a_second:.2g}'):,.0f}"


def milliseconds(ns: int) -> str:
    """Return a time as people read it."""
    return "< 1 ms" if ns < 1_000_000 else f"{ns / 1e6:.0f} ms"


def waits(row: dict[str, Any]) -> str:
    """Return what the other thread waited: the median, the 99th percentile, the longest."""
    times = (row["wait_p50_ns"], row["wait_p99_ns"], row["wait_max_ns"])
    return f"{', '.join('< 1' if ns < 1_000_000 else f'{ns / 1e6:.0f}' for ns in times)} ms"


def versions(rows: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Yield the table of what differs between versions of Python."""
    seen = list(rows)
    by_key = {
        version: {(row["field"], row["name"]): row for row in rows[version]} for version in seen
    }
    changed = [
        [f"`{row['call']}`", row["size"], *(told(by_key[version].get(key)) for version in seen)]
        for key, row in by_key[max(rows, key=lambda version: len(rows[version]))].items()
        if row["package"] == "python"
        and differ([by_key[version][key] for version in seen if key in by_key[version]])
    ]
    if changed:
        yield "\n## What changed between versions of Python\n"
        yield "The verdict, and the longest hold while another thread waited:\n"
        yield from markdown(("call", "input", *seen), changed)


def differ(rows: list[dict[str, Any]]) -> bool:
    """Whether a call does otherwise on one Python than on another."""
    verdicts = {row["verdict"] for row in rows}
    shares = [row["held_share"] for row in rows]
    # What alone tells "mixed" from "releases" is a share, of which runs of one Python differ, too.
    return len(verdicts) > 1 and (verdicts != set(LETS_GO) or max(shares) - min(shares) > 0.1)


def told(row: dict[str, Any] | None) -> str:
    """Return what the table of versions says of a row."""
    return "" if row is None else f"{row['verdict']}, {milliseconds(row['hold_max_ns'])}"


def small() -> Iterator[str]:
    """Yield the table of small calls."""
    path = DOCS / "atlas" / "small.json"
    if not path.exists():
        return
    pythons = json.loads(path.read_text())["pythons"]
    seen = sorted(pythons, key=lambda version: tuple(map(int, version.split("."))))
    yield "\n## Releases a call\n"
    yield (
        "Each release is a chance to lose the GIL to a thread that computes, which gives it back "
        "after 5 ms. How often the calling thread lets go in one call, and how long the call takes "
        "alone and beside such a thread, in the mean, by version of Python:\n"
    )
    rows = (
        (name, *(small_told(pythons[version]["rows"][name]) for version in seen))
        for name in pythons[seen[0]]["rows"]
    )
    yield from markdown(("call", *seen), rows)


def small_told(row: dict[str, float]) -> str:
    """Return what the table of small calls says of one on one Python."""
    alone, beside = (format_ns(round(row[name])) for name in ("alone_ns", "beside_ns"))
    return f"{row['releases']:g}; {alone}, {beside}"


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield a table."""
    names = list(head)
    yield f"| {' | '.join(names)} |"
    yield "|" + "---|" * len(names)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    main()
