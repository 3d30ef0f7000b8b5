"""``%load_ext gilknocker``: the magic ``%gil``, which measures a statement or a cell.

A cell that awaits is rewritten a little before IPython runs it: its call of the magic is awaited
too, for the magic gives IPython a coroutine then, and cannot run one within the kernel's loop.
"""

from __future__ import annotations

import ast
import base64
import inspect
import keyword
import re

from IPython.core.error import UsageError
from IPython.core.magic import needs_local_scope, no_var_expand

from gilknocker.meters.knock_knock import KnockKnock
from gilknocker.reports import words
from gilknocker.reports.card import card

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType
    from typing import Any

    from gilknocker.snapshot.value import Snapshot

__all__ = ["load", "unload"]

USAGE = "%gil [-i MICROS] [--trace] [-o NAME] [--plot] STATEMENT"
CELL_USAGE = "%%gil [-i MICROS] [--trace] [-o NAME] [--plot], and the code on the lines below"


def load(shell: Any) -> None:
    """Give an IPython shell the magic; nothing more the second time."""
    unload(shell)

    def gil(line: str, cell: str | None = None, local_ns: Any = None) -> Any:
        """Measure how busy the GIL is while a statement or a cell runs.

        ::

            %gil [-i MICROS] [--trace] [-o NAME] [--plot] STATEMENT

            %%gil [-i MICROS] [--trace] [-o NAME] [--plot]
            CODE
            ...

        The code runs as it would without: its variables stay, it may use ``await``, and the value
        of its last expression is displayed. The measurement is shown also where it fails.

        -i MICROS
            Look at the GIL every so many microseconds (1000), and knock a tenth as often.
        --trace
            Measure exactly, by tracing, where that is supported (see ``gilknocker.GilTracer``).
        -o NAME
            Keep the measurement in a variable: a ``gilknocker.Snapshot`` with its raw waits.
        --plot
            Also draw the waits by percentile (needs matplotlib).
        """
        options, statement = parse(line, is_cell=cell is not None)
        number = shell.displayhook.prompt_count
        program = _Program(shell, statement if cell is None else cell, cell is not None, number)
        measurement = _Measurement(shell, options)
        namespace = shell.user_ns if local_ns is None else local_ns
        run = _run_async if program.is_async else _run
        return run(shell, program, measurement, namespace)

    no_var_expand(gil)  # the code is not ours to change
    needs_local_scope(gil)  # in a function, its variables
    shell.register_magic_function(gil, magic_kind="line_cell", magic_name="gil")
    shell.input_transformers_post.append(_AwaitMagic(shell))


def unload(shell: Any) -> None:
    """Take the magic away again."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("gil", None)
    transformers = shell.input_transformers_post
    transformers[:] = [each for each in transformers if not isinstance(each, _AwaitMagic)]


class Options:
    """What was asked for.

    Attributes
    ----------
    interval_micros : int or None
        None for the default.
    trace, plot : bool
        Whether to trace; whether to draw.
    name : str or None
        Where to keep the snapshot.
    """

    def __init__(self) -> None:
        self.interval_micros: int | None = None
        self.trace = False
        self.plot = False
        self.name: str | None = None


def parse(line: str, *, is_cell: bool) -> tuple[Options, str]:
    """Return what the magic's line asks for, and the statement after its options.

    Raises
    ------
    UsageError
        If an option is unknown, lacks its value or has a bad one; without a statement, or with one
        on the first line of a cell.
    """
    options, rest = Options(), line.strip()
    while rest.startswith("-"):
        word, rest = _first_word(rest)
        if word == "--":
            break
        if word == "--trace":
            options.trace = True
        elif word == "--plot":
            options.plot = True
        elif word in ("-i", "-o"):
            value, rest = _first_word(rest)
            _take(options, word, value)
        else:
            raise UsageError(f"%gil has no option {word}: {CELL_USAGE if is_cell else USAGE}")
    if options.trace and options.interval_micros is not None:
        raise UsageError("-i is not for --trace, which sees every hold")
    if is_cell and rest:
        raise UsageError(f"%%gil takes no code on its first line, not {rest!r}: {CELL_USAGE}")
    if not is_cell and not rest:
        raise UsageError(f"%gil needs a statement: {USAGE}")
    return options, rest


def _take(options: Options, word: str, value: str) -> None:
    if word == "-o":
        if not value.isidentifier() or keyword.iskeyword(value):
            raise UsageError(f"-o must be the name of a variable, not {value!r}")
        options.name = value
        return
    # isdecimal, and not int() alone: that takes "1_000" and thousands of digits.
    options.interval_micros = int(value) if value.isdecimal() and len(value) < 19 else 0
    if not options.interval_micros:
        raise UsageError(f"-i must be a whole number of microseconds, at least 1, not {value!r}")


def _first_word(text: str) -> tuple[str, str]:
    word, _, rest = re.sub(r"\s+", " ", text, count=1).partition(" ")
    return word, rest.lstrip()


class _Program:
    """Code of the user, compiled as IPython would: against its own lines, with ``await``.

    Parameters
    ----------
    shell : InteractiveShell
        Whose code it is.
    source : str
        The code, magics and all.
    is_cell : bool
        Whether it begins on the second line of its cell.
    number : int
        Of the cell, for tracebacks.

    Attributes
    ----------
    parts : list of code
        What to run: the statements, and the last expression if there is one.
    is_async : bool
        Whether it awaits.
    is_silent : bool
        Whether its value is not to be displayed.

    Raises
    ------
    SyntaxError
        If it is no Python.
    """

    def __init__(self, shell: Any, source: str, is_cell: bool, number: int) -> None:
        # IPython takes empty lines away at the beginning, and would count wrongly then.
        begin = source[: len(source) - len(source.lstrip())].count("\n")
        text = "\n" * (is_cell + begin) + shell.transform_cell(source)
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

    def run(self, shell: Any, namespace: Any) -> Any:
        """Run it among the user's variables; return what is to be displayed."""
        value = None
        for part in self.parts:
            value = eval(part, shell.user_global_ns, namespace)
        return None if self.is_silent else value

    async def run_async(self, shell: Any, namespace: Any) -> Any:
        """Run it if it awaits; return what is to be displayed."""
        value = None
        for part in self.parts:
            value = eval(part, shell.user_global_ns, namespace)
            if _is_coroutine(part):
                value = await value
        return None if self.is_silent else value


def _is_coroutine(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_COROUTINE)


class _Measurement:
    """The meter of one run, and how its result comes out."""

    def __init__(self, shell: Any, options: Options) -> None:
        self._shell, self._options = shell, options
        if options.plot:
            from gilknocker.reports.plotting import require

            try:
                require("matplotlib", "plot", "--plot")
            except ImportError as error:
                raise UsageError(str(error)) from None
        self._meter = _tracer() if options.trace else _knocker(options.interval_micros)

    def start(self) -> None:
        self._meter.start()

    def finish(self) -> None:
        """Stop, keep and show what was measured."""
        self._meter.stop()
        snapshot = self._meter.snapshot(waits=True)
        if self._options.name is not None:
            self._shell.user_ns[self._options.name] = snapshot
        text = words.text(snapshot).rstrip()
        self._shell.display_pub.publish({"text/html": card(snapshot), "text/plain": text})
        if self._options.plot and snapshot.knocks:
            picture = base64.b64encode(_picture(snapshot)).decode()
            self._shell.display_pub.publish(
                {"image/png": picture, "text/plain": "(the waits by percentile)"}
            )


def _knocker(interval_micros: int | None) -> Any:
    try:
        return KnockKnock(interval_micros)
    except ValueError as error:
        raise UsageError(f"-i: {error}") from None


def _tracer() -> Any:
    from gilknocker import GilTracer, GilTracerUnsupported

    try:
        return GilTracer()
    except GilTracerUnsupported as error:
        raise UsageError(f"--trace: {error}") from None


def _picture(snapshot: Snapshot) -> bytes:
    """Draw the waits, whether or not the notebook shows figures by itself."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    snapshot.plot(figure.add_subplot())
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    return picture.getvalue()


def _run(shell: Any, program: _Program, measurement: _Measurement, namespace: Any) -> Any:
    measurement.start()
    try:
        return program.run(shell, namespace)
    except BaseException as error:
        _hide_our_frames(shell, error, program)
        raise
    finally:
        measurement.finish()


async def _run_async(
    shell: Any, program: _Program, measurement: _Measurement, namespace: Any
) -> Any:
    measurement.start()
    try:
        return await program.run_async(shell, namespace)
    except BaseException as error:
        _hide_our_frames(shell, error, program)
        raise
    finally:
        measurement.finish()


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


class _AwaitMagic:
    """An input transformer: ``await`` before each call of the magic whose code awaits."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def __call__(self, lines: list[str]) -> list[str]:
        text = "".join(lines)
        if "_magic('gil', " not in text:
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
            is_cell = len(words) == 3
            source = words[2] if is_cell else parse(words[1], is_cell=False)[1]
            # The cell has not begun: this is its number yet, as IPython counts.
            return _Program(self._shell, source, is_cell, self._shell.execution_count).is_async
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


_MAGIC = re.compile(r"get_ipython\(\)\.run_(line|cell)_magic\('gil', ")
