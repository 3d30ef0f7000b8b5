"""A statement under the magic, which gives its value to the code around it."""

from __future__ import annotations

import ast
import inspect
import re
from contextlib import contextmanager

from IPython.core.error import UsageError

from gilknocker.integrations.ipython.options import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType
    from typing import Any

    from gilknocker.integrations.ipython.measurement import Measurement

__all__ = ["AwaitMagic", "run_statement"]


class _Program:
    """A statement of the user, compiled as IPython would: with ``await``.

    Parameters
    ----------
    shell : InteractiveShell
        Whose code it is.
    source : str
        The statement, magics and all.
    number : int
        Of the cell, for tracebacks.

    Attributes
    ----------
    parts : list of code
        What to run: statements, and the last expression if there is one.
    is_async : bool
        Whether it awaits.
    is_silent : bool
        Whether its value is not to be displayed.

    Raises
    ------
    SyntaxError
        If it is no Python.
    """

    def __init__(self, shell: Any, source: str, number: int) -> None:
        self._globals = shell.user_global_ns
        text = shell.transform_cell(source)
        name = shell.compile.cache(text, number, raw_code=source)
        tree = shell.transform_ast(shell.compile.ast_parse(text, name))
        last = []
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last.append(ast.Expression(tree.body.pop().value))
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if shell.autoawait else 0
        with shell.compile.extra_flags(flags):
            self.parts: list[CodeType] = [shell.compile(tree, name, "exec")]
            self.parts += [shell.compile(expression, name, "eval") for expression in last]
        self.is_async = any(map(_is_coroutine, self.parts))
        self.is_silent = shell.displayhook.semicolon_at_end_of_expression(source)

    def run(self, namespace: Any) -> Any:
        """Run it among these variables; return what is to be displayed."""
        value = None
        for part in self.parts:
            value = eval(part, self._globals, namespace)
        return None if self.is_silent else value

    async def run_async(self, namespace: Any) -> Any:
        """Run it if it awaits; return what is to be displayed."""
        value = None
        for part in self.parts:
            value = eval(part, self._globals, namespace)
            if _is_coroutine(part):
                value = await value
        return None if self.is_silent else value


def _is_coroutine(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_COROUTINE)


def run_statement(
    shell: Any, statement: str, measurement: Measurement, number: int, namespace: Any
) -> Any:
    """Run a statement and show what was measured.

    Parameters
    ----------
    shell : InteractiveShell
        Whose code it is.
    statement : str
        The statement, magics and all.
    measurement : Measurement
        To be started, stopped and shown.
    number : int
        Of the cell, for tracebacks.
    namespace : dict
        The variables around it.

    Returns
    -------
    object
        What is to be displayed; to be awaited if the statement awaits.
    """
    program = _Program(shell, statement, number)

    async def run_async() -> Any:
        with _measured(shell, program, measurement):
            return await program.run_async(namespace)

    if program.is_async:
        return run_async()
    with _measured(shell, program, measurement):
        return program.run(namespace)


@contextmanager
def _measured(shell: Any, program: _Program, measurement: Measurement) -> Iterator[None]:
    measurement.start()
    try:
        yield
    except BaseException as error:
        _hide_our_frames(shell, error, program)
        raise
    finally:
        measurement.stop()
        measurement.show()


def _hide_our_frames(shell: Any, error: BaseException, program: _Program) -> None:
    """Let IPython show of an exception what it would show without the magic.

    It asks the exception itself first, once here: raised again elsewhere it is as any other.
    """
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code not in program.parts:
        traceback = traceback.tb_next
    if traceback is None or hasattr(error, "_render_traceback_"):
        return

    def render() -> Any:
        del error._render_traceback_  # type: ignore[attr-defined]
        return shell.InteractiveTB.structured_traceback(type(error), error, traceback, tb_offset=0)

    error._render_traceback_ = render  # type: ignore[attr-defined]


class AwaitMagic:
    """An input transformer: ``await`` before each call of the magic whose code awaits."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def __call__(self, lines: list[str]) -> list[str]:
        """Return the lines with what is missing."""
        text = "".join(lines)
        if "run_line_magic('gil', " not in text:
            return lines
        try:
            calls = list(_calls_of_magic(ast.parse(text), True))
        except SyntaxError:
            return lines  # IPython will say so
        for call, may_await in calls:
            if not self._awaits(call):
                continue
            if not may_await:
                raise SyntaxError("%gil with 'await' outside async function")
            line = lines[call.lineno - 1].encode()
            before, after = line[: call.col_offset], line[call.col_offset :]
            lines[call.lineno - 1] = (before + b"await " + after).decode()
        return lines

    def _awaits(self, call: ast.Call) -> bool:
        """Whether its code awaits; it raises the code's SyntaxErrors, without any of our frames."""
        words = [str(part.value) for part in call.args if isinstance(part, ast.Constant)]
        try:
            source = parse(words[1], is_cell=False)[1]
            # The cell has not begun: this is its number yet, as IPython counts.
            return _Program(self._shell, source, self._shell.execution_count).is_async
        except UsageError:
            return False  # the magic will say so


def _calls_of_magic(tree: ast.AST, may_await: bool) -> Iterator[tuple[ast.Call, bool]]:
    """Yield the calls from the last to the first, and whether they may be awaited there."""
    for node in reversed(list(ast.iter_child_nodes(tree))):
        if isinstance(node, ast.AsyncFunctionDef):
            yield from _calls_of_magic(node, True)
        elif isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            yield from _calls_of_magic(node, False)
        else:
            yield from _calls_of_magic(node, may_await)
        if isinstance(node, ast.Call) and _MAGIC.match(ast.unparse(node)):
            yield node, may_await


_MAGIC = re.compile(r"get_ipython\(\)\.run_line_magic\('gil', ")
