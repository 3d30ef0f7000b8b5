"""The meter of one run of the magic, and how its result comes out."""

from __future__ import annotations

import base64
import sys

from IPython.core.error import UsageError

from gilknocker._core import stack_problem
from gilknocker._units import fitting
from gilknocker.meters.child_processes import cpu_ns
from gilknocker.meters.knock_knock import KnockKnock
from gilknocker.reports import words
from gilknocker.reports.card import notebook_card
from gilknocker.snapshot.fields import FIELDS
from gilknocker.snapshot.value import build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gilknocker.integrations.ipython.options import Options
    from gilknocker.snapshot.value import Snapshot

__all__ = ["Measurement"]


class Measurement:
    """The meter of one run, and how its result comes out."""

    def __init__(self, shell: Any, options: Options) -> None:
        self._shell, self._options = shell, options
        self._children_cpu_ns = 0
        if options.plot:
            from gilknocker.reports.plotting import require

            try:
                require("matplotlib", "plot", "--plot")
            except ImportError as error:
                raise UsageError(str(error)) from None
        self._notes = _notes()
        measure = _tracer if options.trace else _knocker
        self._meter = measure(options.interval_micros)

    def start(self) -> None:
        """Start measuring."""
        self._children_cpu_ns = cpu_ns()
        self._meter.start()

    def stop(self) -> None:
        """Stop measuring."""
        self._meter.stop()
        self._children_cpu_ns = max(cpu_ns() - self._children_cpu_ns, 0)

    def show(self) -> None:
        """Keep and show what was measured."""
        snapshot = self._meter.snapshot(waits=True)
        if self._options.name is not None:
            self._shell.user_ns[self._options.name] = snapshot
        children = self._children_cpu_ns
        shown = _with_names_of_cells(snapshot, self._shell)
        text = words.text(shown, children_cpu_ns=children, notes=self._notes).rstrip()
        self._shell.display_pub.publish(
            {
                "text/html": notebook_card(shown, children_cpu_ns=children, notes=self._notes),
                "text/plain": fitting(text, sys.stdout),
            }
        )
        if self._options.plot and snapshot.knocks:
            picture = base64.b64encode(_picture(snapshot)).decode()
            self._shell.display_pub.publish(
                {"image/png": picture, "text/plain": "(the waits by percentile)"}
            )


def _knocker(interval_micros: int | None) -> Any:
    try:
        return KnockKnock(interval_micros, stacks=stack_problem() is None)
    except ValueError as error:
        raise UsageError(f"-i: {error}") from None


def _notes() -> list[str]:
    """Return why it is not said which lines held the GIL; nothing where it is."""
    problem = stack_problem()
    return [f"which lines held the GIL cannot be said: {problem}"] if problem else []


def _with_names_of_cells(snapshot: Snapshot, shell: Any) -> Snapshot:
    """Return the same for people: a cell is ``In[3]`` in its stacks, and not a temporary file."""
    named = getattr(shell.compile, "format_code_name", None)  # since IPython 8
    if not snapshot._stacks or named is None:
        return snapshot

    def renamed(frame: tuple[str, str, int]) -> tuple[str, str, int]:
        function, file, line = frame
        _, name = named(file) or ("", file)
        return function, name, line

    fields = {name: getattr(snapshot, name) for name in FIELDS}
    fields["_stacks"] = tuple(
        (tuple(map(renamed, frames)), *rest) for frames, *rest in snapshot._stacks
    )
    return build(fields, snapshot._raw, snapshot._raw_holds)


def _tracer(interval_micros: int | None) -> Any:
    from gilknocker import GilTracer, GilTracerUnsupported

    stacks = stack_problem() is None
    try:
        return GilTracer(stacks=stacks, interval_micros=interval_micros if stacks else None)
    except GilTracerUnsupported as error:
        raise UsageError(f"--trace: {error}") from None
    except ValueError as error:
        raise UsageError(f"-i: {error}") from None


def _picture(snapshot: Snapshot) -> bytes:
    """Draw the waits, whether or not the notebook shows figures by itself."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    snapshot.plot(figure.add_subplot())
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    return picture.getvalue()
