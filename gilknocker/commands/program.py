"""``gilknocker run``: a program in this interpreter, as Python would run it, under the meter.

What Python does for ``python SCRIPT``, ``-m`` and ``-c`` is in its Modules/main.c and
Python/pythonrun.c, and followed here step by step: a fresh ``__main__``, ``sys.argv``,
``sys.path[0]``, what is flushed at the end, how an exception that nobody caught is shown. ``-m``,
folders and zip files are left to :mod:`runpy`, as Python leaves them to it.
"""

from __future__ import annotations

import builtins
import errno
import os
import sys

from gilknocker import _core
from gilknocker.commands.meter import Meter
from gilknocker.commands.options import STARTED_WITH, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType, TracebackType
    from typing import Any

    from gilknocker.commands.lazy_imports import LazyImports
    from gilknocker.commands.options import RunOptions

__all__ = ["run"]

# How a file begins that may be no Python program: "#!", and formats of compiled ones.
_NOT_PYTHON = (b"#!", b"\x7fE", b"MZ", b"\xcf\xfa", b"\xca\xfe")

_replaced: list[ModuleType] = []  # what was __main__, never to be freed


def run(options: RunOptions, lazy_imports: LazyImports) -> None:
    """Run a program under the meter; its report comes when the interpreter exits.

    Raises
    ------
    UsageError
        If there is no such program, or the report cannot be written. Nothing has run then.
    BaseException
        What the program raises and does not catch, to be shown by Python.
    """
    meter = Meter(options)
    start = {"script": _script, "module": _module, "code": _code}[options.kind](options)
    meter.hidden = _give_way()
    meter.begin()
    lazy_imports.give_back()
    failure = None
    try:
        start()
    except SystemExit as error:
        if message := _never_started(error):
            meter.cancel()
            raise UsageError(message) from None
        meter.exit_status = _status_of(error)
        raise
    except BaseException as error:
        # As subprocess has it: death by a signal is negative.
        meter.exit_status = -2 if type(error) is KeyboardInterrupt else 1
        meter.hint = "" if options.trace else _threads_in_the_way(error)
        failure = error
    if failure is None:
        _end_of_main(options.kind)
        return
    sys.excepthook = _OneShotHook(meter, failure, lambda: _end_of_main(options.kind))
    raise failure


def _threads_in_the_way(error: BaseException) -> str:
    """Return what to do where the system refused a call to a process that has threads."""
    if not isinstance(error, OSError) or error.errno != errno.EINVAL:
        return ""
    traceback = error.__traceback__
    while traceback is not None:
        if called := {"unshare", "setns"}.intersection(traceback.tb_frame.f_code.co_names):
            return (
                f"{' or '.join(sorted(called))}: a process that has threads cannot change its user "
                "or mount namespace, and two of ours run; --trace starts none"
            )
        traceback = traceback.tb_next
    return ""


def _script(options: RunOptions) -> Callable[[], None]:
    """Find a script, a folder or a zip file; return what runs it."""
    path = options.target
    try:
        full = _absolute(path)
        importer = _importer(full)
        if importer is None:
            with open(full, "rb") as file:
                source = file.read()
    except OSError as error:
        from gilknocker.commands import hints

        hint = hints.of_missing(path, options.arguments) if error.errno == errno.ENOENT else ""
        raise UsageError(f"cannot read {path!r}: {error.strerror}{hint}") from None
    if importer is None and not path.endswith(".pyc") and source[:2] in _NOT_PYTHON:
        from gilknocker.commands import hints

        if kind := hints.what_it_is(path, source, options.arguments):
            raise UsageError(f"{path!r} is {kind}")
    sys.argv = [path, *options.arguments]
    if importer is not None:
        if importer.find_spec("__main__") is None:
            raise UsageError(f"{path!r} has no __main__.py to run")
        sys.path.insert(0, full)
        return lambda: _run_by_runpy("__main__", False)
    if not _safe_path():
        sys.path.insert(0, os.path.dirname(os.path.realpath(full)))
    return lambda: _run_source(source, full)


def _absolute(path: str) -> str:
    """Return a path as Python makes it absolute: ``..`` after a link stays as it is."""
    if os.path.isabs(path):
        return path
    here = os.getcwd()
    if path in ("", ".") and sys.version_info >= (3, 11):
        return here
    return f"{here.rstrip('/')}/{path}"


def _module(options: RunOptions) -> Callable[[], None]:
    sys.argv = ["-m", *options.arguments]
    if not _safe_path():
        try:  # noqa: SIM105 (contextlib takes longer to import than all of this)
            sys.path.insert(0, os.getcwd())
        except OSError:  # where we are was removed: Python adds nothing then
            pass
    return lambda: _run_by_runpy(options.target, True)


def _code(options: RunOptions) -> Callable[[], None]:
    text = options.target
    if sys.version_info >= (3, 14) and text[:1].isspace():
        from textwrap import dedent  # before there is a folder with one of the program's own

        text = dedent(text)
    sys.argv = ["-c", *options.arguments]
    if not _safe_path():
        sys.path.insert(0, "")
    return lambda: _run_text(text, options.target)


def _run_source(source: bytes, path: str) -> None:
    """Run what a file holds as ``__main__``."""
    from _frozen_importlib_external import SourceFileLoader, SourcelessFileLoader

    code: CodeType | None
    namespace = vars(_fresh_main())
    namespace["__file__"] = path
    if sys.version_info < (3, 15):
        namespace["__cached__"] = None
    sys.audit("cpython.run_file", path)
    if path.endswith(".pyc"):
        loader = namespace["__loader__"] = SourcelessFileLoader("__main__", path)
        code = loader.get_code("__main__")
    else:
        namespace["__loader__"] = SourceFileLoader("__main__", path)
        code = _compiled(source, path)
    assert code is not None
    exec(code, namespace)


def _run_text(text: str, given: str) -> None:
    """Run `text` as ``__main__``, which was given with ``-c`` with indentation."""
    from _frozen_importlib import BuiltinImporter

    namespace = vars(_fresh_main())
    namespace["__loader__"] = BuiltinImporter
    sys.audit("cpython.run_command", given)
    code = _compiled(text, "<string>")
    if sys.version_info >= (3, 13):
        _show_lines_of(code, text)
    exec(code, namespace)


def _compiled(source: str | bytes, path: str) -> CodeType:
    if isinstance(source, bytes) and b"\0" in source:
        return compile(source, path, "exec", dont_inherit=True)  # says what is wrong with that
    return _core.compile_program(source, path)


def _show_lines_of(code: CodeType, text: str) -> None:
    """Let tracebacks show lines of `text`, as Python 3.13 and later do for ``-c``."""
    import linecache  # Python has imported it by now, there

    register = getattr(linecache, "_register_code", None)
    if register is not None:  # it is not public, and was changed within 3.13
        by_code = hasattr(linecache, "_interactive_cache")
        register(code if by_code else "<string>", text, "<string>")


def _run_by_runpy(name: str, alter_argv: bool) -> None:
    import runpy

    _fresh_main()
    if alter_argv:
        sys.audit("cpython.run_module", name)
    # Not public, and what Python itself calls since 2.6.
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _fresh_main() -> ModuleType:
    """Put a new ``__main__`` in place of ours for good: pickles and child processes look there."""
    module = type(sys)("__main__")
    namespace = vars(module)
    if sys.version_info < (3, 14):
        namespace["__annotations__"] = {}
    namespace["__builtins__"] = builtins
    # C code that runs the console script goes on to use its namespace.
    _replaced.append(sys.modules["__main__"])
    sys.modules["__main__"] = module
    return module


def _importer(path: str) -> Any:
    """Return what imports from a folder or a zip file; None of a script."""
    if path not in sys.path_importer_cache:
        os.stat(path)
        for hook in sys.path_hooks:
            try:
                sys.path_importer_cache[path] = hook(path)
                break
            except ImportError:
                continue
        else:
            sys.path_importer_cache[path] = None
    return sys.path_importer_cache[path]


def _give_way() -> dict[str, ModuleType]:
    """Forget what we imported where the program has a module of that name, to be found first.

    Returns
    -------
    dict
        What was forgotten, by name.
    """
    hidden: dict[str, ModuleType] = {}
    if _safe_path():
        return hidden
    folder = sys.path[0]
    for name in sys.modules.keys() - STARTED_WITH:
        own = os.path.join(folder, name)
        if (
            "." not in name
            and name not in sys.builtin_module_names
            and name != "gilknocker"
            and (os.path.exists(own + ".py") or os.path.exists(os.path.join(own, "__init__.py")))
        ):
            hidden[name] = sys.modules.pop(name)
    return hidden


def _safe_path() -> bool:
    """Whether Python was told to put no folder first in ``sys.path``: -P, -I."""
    return bool(getattr(sys.flags, "safe_path", sys.flags.isolated))


def _never_started(error: SystemExit) -> str | None:
    """Return why runpy found nothing to run; None if the program itself exited."""
    runpy = sys.modules.get("runpy")
    reason = error.__context__
    if runpy is None or not isinstance(reason, runpy._Error):
        return None
    traceback = _without_our_frames(error.__traceback__)
    # A program that uses runpy itself has frames of its own.
    return str(reason) if traceback is not None and traceback.tb_next is None else None


def _status_of(error: SystemExit) -> int:
    """Return the exit status that Python makes of the value of a SystemExit."""
    try:
        code = error.code
    except Exception:  # of a class of the program's
        return 1
    if code is None:
        return 0
    if not isinstance(code, int):
        return 1
    number = int.__index__(code)  # whatever a class of the program's makes of it
    return number & 0xFF if -sys.maxsize - 1 <= number <= sys.maxsize else 0xFF


def _end_of_main(kind: str) -> None:
    """Do what Python does when the main program is over, before it waits for other threads."""
    main = sys.modules.get("__main__")
    if kind == "script" and main is not None and main.__spec__ is None:
        vars(main).pop("__file__", None)
        vars(main).pop("__cached__", None)
    for stream in (sys.stderr, sys.stdout):
        try:
            stream.flush()
        except Exception:
            continue  # shown when Python flushes for the last time


def _without_our_frames(traceback: TracebackType | None) -> TracebackType | None:
    ours = (__name__, _core.__name__)
    while traceback is not None and traceback.tb_frame.f_globals.get("__name__") in ours:
        traceback = traceback.tb_next
    return traceback


class _OneShotHook:
    """Stands in for ``sys.excepthook`` once: passes on the exception without our frames.

    Raising it to the very top leaves the rest to Python: ``sys.last_exc``, the exit status, death
    by SIGINT after all exit handlers.
    """

    def __init__(
        self, meter: Meter, failure: BaseException, afterwards: Callable[[], None]
    ) -> None:
        self._meter = meter
        self._afterwards = afterwards
        self._traceback = _without_our_frames(failure.__traceback__)
        self._missing = not hasattr(sys, "excepthook")
        self._hook: Any = getattr(sys, "excepthook", None)

    def __call__(
        self, kind: type[BaseException], error: BaseException, _: TracebackType | None
    ) -> None:
        self._meter.make_room()
        sys.last_traceback = self._traceback
        error = error.with_traceback(self._traceback)
        if self._missing:
            del sys.excepthook
            _show_without_hook(error)
        else:
            sys.excepthook = self._hook
            self._show(kind, error)
        self._afterwards()

    def _show(self, kind: type[BaseException], error: BaseException) -> None:
        try:
            self._hook(kind, error, self._traceback)
        except SystemExit as its_own:
            self._meter.exit_status = _status_of(its_own)
            raise
        except BaseException as second:
            _show_both(second, error)


def _show_without_hook(error: BaseException) -> None:
    """Say as Python does that the program took the hook away."""
    if sys.stderr is not None:
        sys.stderr.write("sys.excepthook is missing\n")
        sys.__excepthook__(type(error), error, error.__traceback__)


def _show_both(second: BaseException, first: BaseException) -> None:
    """Say as Python does that the program's hook failed, and show what it was to show."""
    for title, error in (
        ("Error in sys.excepthook:", second),
        ("\nOriginal exception was:", first),
    ):
        if sys.stderr is None:
            return
        print(title, file=sys.stderr)
        traceback = _without_our_frames(error.__traceback__)
        error = error.with_traceback(traceback)
        sys.__excepthook__(type(error), error, traceback)
