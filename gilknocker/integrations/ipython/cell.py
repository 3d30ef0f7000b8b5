"""A cell under the magic: run by IPython, and measured until it ends."""

from __future__ import annotations

import ast
import sys
from functools import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from gilknocker.integrations.ipython.measurement import Measurement

__all__ = ["ExpandCell", "UntilCellEnds"]


class ExpandCell:
    """An input transformer: a cell under the magic as its code, the start of measuring before.

    It does what IPython does with a cell before it gets here.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def __call__(self, lines: list[str]) -> list[str]:
        """Return the lines of a cell that IPython is to run."""
        call = _only_call("".join(lines))
        if call is None:
            return lines
        line, source = call
        text = self._shell.input_transformer_manager.transform_cell(source)
        if len(text.splitlines()) == 1:
            with self._shell.builtin_trap:
                text = self._shell.prefilter_manager.prefilter_lines(text) + "\n"
        # IPython takes empty lines away at the beginning, and would count wrongly then.
        empty = source[: len(source) - len(source.lstrip())].count("\n")
        begin = f"get_ipython().run_cell_magic('gil', {line!r}, ...)\n"
        return [begin, *["\n"] * empty, *self(text.splitlines(keepends=True))]


def _only_call(text: str) -> tuple[str, str] | None:
    """Return the line and the code of a cell that is nothing but a call of the magic."""
    if not text.startswith("get_ipython().run_cell_magic('gil', "):
        return None
    try:
        (statement,) = ast.parse(text).body
        _, line, source = map(ast.literal_eval, statement.value.args)  # type: ignore[attr-defined]
    except (SyntaxError, ValueError, AttributeError):
        return None
    return (line, source) if isinstance(source, str) and source else None


class UntilCellEnds:
    """Measures until the cell ends that runs now, however many cells it runs itself.

    It stops before IPython shows the exception that ends the cell, and before others do what they
    do after each cell, as drawing figures; it shows what it measured after them.
    """

    def __init__(self, shell: Any, measurement: Measurement) -> None:
        self._shell, self._measurement = shell, measurement
        self._cell, self._before = shell.displayhook.exec_result, shell.last_execution_result
        shell.events.callbacks["post_execute"].insert(0, self._stop)
        shell.events.register("post_execute", self._show)
        self._hooks = [_Before(shell, name, self._fail) for name in ("showtraceback", "CustomTB")]
        measurement.start()

    def _fail(self) -> None:
        """Stop if the exception that is to be shown ends the cell."""
        cell = self._cell
        errors = () if cell is None else (cell.error_in_exec, cell.error_before_exec)
        if cell is None or errors != (None, None) or self._is_broken_off():
            self._end()

    def _is_broken_off(self) -> bool:
        """Whether an interrupt of its loop ends the cell, which its result does not say."""
        traceback = sys.exc_info()[2]
        caught = traceback is not None and traceback.tb_frame.f_code.co_name == "_run_cell"
        return caught and self._shell.displayhook.exec_result is self._cell

    def _end(self) -> None:
        hooks, self._hooks = self._hooks, []
        for hook in hooks:
            hook.undo()
        if hooks:  # the first time
            self._measurement.stop()

    def _is_over(self) -> bool:
        # An interrupt of a loop leaves a cell without a result.
        last = self._shell.last_execution_result
        return self._cell is None or last is self._cell or last is self._before

    def _stop(self) -> None:
        if self._is_over():
            self._shell.events.unregister("post_execute", self._stop)
            self._end()

    def _show(self) -> None:
        if self._is_over():
            self._shell.events.unregister("post_execute", self._show)
            self._measurement.show()


class _Before:
    """Calls a function before each call of an object's method, until it is undone."""

    def __init__(self, owner: Any, name: str, call: Callable[[], None]) -> None:
        self._owner, self._name = owner, name
        self._own = vars(owner).get(name)  # None: it is its class's
        real = getattr(owner, name)

        @wraps(real)
        def both(*args: Any, **kwargs: Any) -> Any:
            call()
            return real(*args, **kwargs)

        self._both = both
        setattr(owner, name, both)

    def undo(self) -> None:
        """Put back what was there, if nobody has replaced it since."""
        if vars(self._owner).get(self._name) is not self._both:
            return
        if self._own is None:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._own)
