"""What ``gilknocker top`` shows: the last second of a process, and all of it so far."""

from __future__ import annotations

import sys
import time

from gilknocker._units import fitting, format_percent, printable
from gilknocker.commands.keys import Keys
from gilknocker.meters.outside.process import stopped_words
from gilknocker.meters.outside.watch import PATIENCE
from gilknocker.reports.stacks import ORDERS, Place, places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gilknocker.meters.outside.watch import OutsideMeter

__all__ = ["Screen", "watch"]

PERIOD_SECONDS = 1.0
_CLEAR = "\x1b[H\x1b[2J"
_THREADS_SHOWN = 5
_PLACES_SHOWN = 10


def watch(meter: OutsideMeter, title: str) -> bool:
    """Show a process each second until it ends or the user does: whether it has ended.

    In a terminal the screen is repainted, and keys are obeyed: q ends, p pauses and goes on, s
    takes the next of the orders. Elsewhere lines are added.
    """
    with Keys() as keys:
        screen = Screen(meter, title, keys.there)
        print(fitting(title, sys.stdout), flush=True)
        due = time.monotonic() + PERIOD_SECONDS
        while not meter.is_over():
            key = keys.wait(max(min(PATIENCE, due - time.monotonic()), 0.0))
            if key == "q":
                return False
            if key:
                screen.press(key)
            if time.monotonic() >= due:
                due += PERIOD_SECONDS
                screen.next_second()
    return True


class Screen:
    """The lines of one second, and what keys make of them.

    Parameters
    ----------
    meter : OutsideMeter
        Where the figures come from.
    title : str
        What the process is.
    keys : bool
        Whether keys can be pressed.
    """

    def __init__(self, meter: OutsideMeter, title: str, keys: bool) -> None:
        self._meter, self._title, self._keys = meter, title, keys
        self._repaints = sys.stdout.isatty()
        self._order, self._paused = 0, False
        self._before: dict[str, Any] = meter.read()
        self._now = self._before

    def next_second(self) -> None:
        """Take the figures of the second that is over, and show them unless paused."""
        if self._paused:
            return
        self._before, self._now = self._now, self._meter.read()
        self._paint()

    def press(self, key: str) -> None:
        """Do what a key says; nothing of an unknown one."""
        if key == "p":
            self._paused = not self._paused
            if not self._paused:  # what passed meanwhile is no second
                self._now = self._meter.read()
                return
        elif key == "s":
            self._order = (self._order + 1) % len(ORDERS)
        else:
            return
        if self._now is not self._before:
            self._paint()

    def _paint(self) -> None:
        clear = _CLEAR if self._repaints else ""
        print(clear + fitting("\n".join(self.lines()), sys.stdout), flush=True)

    def lines(self) -> list[str]:
        """Return what is shown."""
        before, now = self._before, self._now
        ticks = now["ticks"] - before["ticks"]
        held = now["ticks_held"] - before["ticks_held"]
        share = format_percent(held / ticks) if ticks else "?"
        seen = {(row[0], row[3]): row[4] for row in before["stacks"]}
        window = [(*row[:4], row[4] - seen.get((row[0], row[3]), 0)) for row in now["stacks"]]
        lines = [self._title] if self._repaints else []
        lines.append(f"{time.strftime('%H:%M:%S')}  GIL held {share} %  ({ticks} looks)")
        process = self._meter.target.process
        if process.is_stopped:
            lines.append(stopped_words(process.pid))
        lines += self._thread_lines(window, held)
        found = places([(row[3], row[4]) for row in window], [row[3:] for row in now["stacks"]])
        lines += _place_lines(found, ORDERS[self._order])
        if self._keys:
            paused = "paused; p goes on" if self._paused else "p pauses"
            lines.append(f"q ends, {paused}, s sorts (by {ORDERS[self._order]})")
        return lines

    def _thread_lines(self, window: list[tuple[Any, ...]], held: int) -> list[str]:
        threads: dict[str, int] = {}
        for serial, _, native, _, ticks in window:
            name = self._meter.name(native, serial)
            threads[name] = threads.get(name, 0) + ticks
        rows = sorted(threads.items(), key=lambda row: -row[1])[:_THREADS_SHOWN]
        return [
            f"{format_percent(ticks / held):>6} %  by {printable(name)}"
            for name, ticks in rows
            if ticks
        ]


def _place_lines(found: list[Place], order: str) -> list[str]:
    if not found:
        return []
    key = {
        "last second": lambda place: (-place.now, -place.total, place.name),
        "all": lambda place: (-place.total, -place.now, place.name),
        "name": lambda place: place.name,
    }[order]
    rows = [
        f"{format_percent(place.now):>6} %  {format_percent(place.total):>6} %  {place.name}"
        for place in sorted(found, key=key)[:_PLACES_SHOWN]
    ]
    more = len(found) - len(rows)
    return ["  last s       all  where", *rows, *([f"  and {more} more places"] if more else [])]
