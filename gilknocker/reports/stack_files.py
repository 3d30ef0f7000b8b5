"""Stacks of a snapshot for the tools that draw them: collapsed lines, speedscope, a flame graph."""

from __future__ import annotations

import json

from gilknocker import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from gilknocker.snapshot.stacks import _StoredFrame
    from gilknocker.snapshot.value import Snapshot

__all__ = ["collapsed", "speedscope"]

UNKNOWN = "(unknown)"
NATIVE = "(native code)"


def collapsed(snapshot: Snapshot) -> str:
    """Return a line a stack: its thread, its frames outermost first, and the time held in µs.

    Joined by ``;``, as ``flamegraph.pl`` and others read it; a frame is ``function (file:line)``.
    """
    return "".join(
        f"{';'.join(_plain(name) for name in names)} {micros}\n"
        for names, micros in _weighted(snapshot)
    )


def speedscope(snapshot: Snapshot, program: Sequence[str] = ()) -> str:
    """Return a file for https://www.speedscope.app: a profile for each thread, weights in µs.

    By its schema, https://www.speedscope.app/file-format-schema.json.
    """
    numbers: dict[tuple[str, str, int], int] = {}
    threads: dict[str, tuple[list[list[int]], list[int]]] = {}
    for stack in snapshot.stacks:
        frames = [(frame.function, frame.file, frame.line) for frame in stack.frames]
        frames = frames or [(UNKNOWN, "", 0)]
        frames += [(NATIVE, "", 0)] if stack.native else []
        samples, weights = threads.setdefault(stack.thread, ([], []))
        samples.append([numbers.setdefault(frame, len(numbers)) for frame in frames])
        weights.append(round(stack.held_seconds * 1e6))
    name = "GIL held" + (f" by {' '.join(program)}" if program else "")
    content: dict[str, Any] = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": f"gilknocker {__version__}",
        "name": name,
        "activeProfileIndex": 0,
        "shared": {"frames": [_speedscope_frame(*frame) for frame in numbers]},
        "profiles": [
            {
                "type": "sampled",
                "name": thread or "thread unknown",
                "unit": "microseconds",
                "startValue": 0,
                "endValue": sum(weights),
                "samples": samples,
                "weights": weights,
            }
            for thread, (samples, weights) in threads.items()
        ],
    }
    return json.dumps(content, indent=1) + "\n"


def _speedscope_frame(function: str, file: str, line: int) -> dict[str, Any]:
    frame: dict[str, Any] = {"name": function}
    if file:
        frame["file"] = file
    if line:
        frame["line"] = line
    return frame


def _weighted(snapshot: Snapshot) -> Iterator[tuple[list[str], int]]:
    for stack in snapshot.stacks:
        micros = round(stack.held_seconds * 1e6)
        if not micros:
            continue
        names = [f"thread {stack.thread}"] if stack.thread else []
        names += [shown(frame) for frame in stack.frames] or [UNKNOWN]
        yield [*names, NATIVE] if stack.native else names, micros


def shown(frame: _StoredFrame) -> str:
    """Return a frame in one text."""
    function, file, line = frame
    return f"{function} ({file}:{line})" if file else function


def _plain(name: str) -> str:
    """Return a name that cannot be taken for two, nor for a weight."""
    return name.replace(";", ",").replace("\n", " ").replace("\r", " ")
