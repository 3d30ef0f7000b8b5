#!/usr/bin/env python3
"""Write docs/atlas.md from atlas/data/*.json: ``python atlas/table.py``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "atlas.md"
BEGIN, END = "<!-- the tables: atlas/table.py -->", "<!-- end of the tables -->"
HEAD = (
    *("call", "package", "input", "verdict", "held", "another thread waits at most"),
    *("freeing its result", "two threads", "why"),
)


def main() -> None:
    """Put the tables between their marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n".join(lines(load()))
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}", encoding="utf-8")


def load() -> dict[str, list[dict[str, Any]]]:
    """Return the rows by version of Python, those that were measured."""
    return {
        path.stem: [row for row in json.loads(path.read_text())["rows"] if "error" not in row]
        for path in sorted((HERE / "data").glob("*.json"), key=order)
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
    yield f"{len(table)} calls of {len(packages)} packages on Python {main_version}: {said}.\n"
    yield "### What surprises\n"
    yield from surprises(table)
    for field in sorted({row["field"] for row in table}):
        yield f"\n### {field.capitalize()}\n"
        yield from markdown(HEAD, (cells(row) for row in table if row["field"] == field))
    yield from versions(rows)


def surprises(table: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the calls whose verdict was guessed otherwise before the first run."""
    for row in table:
        if row["verdict"] != row["guess"]:
            size = f" ({row['size']})" if row["size"] else ""
            yield (
                f"- `{row['call']}`{size} of {row['package']}: {row['verdict']}, "
                f'where we had guessed "{row["guess"]}".'
            )


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return a row's cells."""
    unsure = "" if row["same_again"] else " (not each time)"
    unsure += "" if row["witness_agrees"] else " (witness disagrees)"
    return (
        f"`{row['call']}`",
        f"{row['package']} {row['version']}",
        row["size"],
        row["verdict"] + unsure,
        f"{row['held_share']:.0%} of {row['seconds']:.2f} s",
        milliseconds(row["wait_max_ns"]),
        milliseconds(row["freeing_max_ns"]),
        f"{row['speed_up']:.1f}x",
        row["why"],
    )


def milliseconds(ns: int) -> str:
    """Return a wait as people read it."""
    return "< 1 ms" if ns < 1_000_000 else f"{ns / 1e6:.0f} ms"


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
        and len({told(by_key[v].get(key)) for v in seen if key in by_key[v]}) > 1
    ]
    if changed:
        yield "\n### What changed between versions of Python\n"
        yield from markdown(("call", "input", *seen), changed)


def told(row: dict[str, Any] | None) -> str:
    """Return what the table of versions says of a row."""
    return "" if row is None else row["verdict"]


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield a table."""
    names = list(head)
    yield f"| {' | '.join(names)} |"
    yield "|" + "---|" * len(names)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


if __name__ == "__main__":
    main()
