"""What was probably meant, where a command line cannot be done."""

from __future__ import annotations

import os
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["of_command", "of_missing", "of_python_option", "what_it_is"]

_ENDS_OF_FILES = (".py", ".pyw", ".pyc", ".pyz")
# Of `python --help`, but those that take the program: -c, -m, -.
_PYTHON_OPTIONS = frozenset("bBdEhiIOPqRsSuvVWxX")
_COMPILED = {
    b"\x7fELF": "a compiled program (ELF)",
    b"MZ": "a compiled program (Windows)",
    b"\xcf\xfa\xed\xfe": "a compiled program (Mach-O)",
    b"\xca\xfe\xba\xbe": "a compiled program (Mach-O)",
}


def of_missing(target: str, arguments: Sequence[str]) -> str:
    """Return what to do where a script does not exist; "" if there is no idea."""
    name = os.path.basename(target)
    if _is_python(name):
        rest = " ".join(arguments[:2]) or "app.py"
        return f"; the program runs in this Python, so leave {target!r} out: gilknocker run {rest}"
    if os.path.isfile(f"{target}.py"):
        return f"; there is {target}.py"
    is_file = target.endswith(_ENDS_OF_FILES)
    if not is_file and all(part.isidentifier() for part in target.split(".")):
        return f"; a module is run with -m: gilknocker run -m {_line(target, arguments)}"
    return ""


def what_it_is(path: str, source: bytes, arguments: Sequence[str]) -> str | None:
    """Say what a file is that is no Python program, and what to do; None if it may be one."""
    name = os.path.basename(path)
    kind = next((kind for magic, kind in _COMPILED.items() if source.startswith(magic)), None)
    if kind is None:
        first = source.partition(b"\n")[0]
        if not first.startswith(b"#!") or b"python" in first or b"pypy" in first:
            return None
        try:
            with warnings.catch_warnings():  # they come when it is run
                warnings.simplefilter("ignore")
                compile(source, path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            kind = f"a script for {first[2:].strip().decode('ascii', 'replace')}"
            if b"pyenv" in source:
                kind += " (a shim of pyenv)"
        else:
            return None
    if _is_python(name):
        rest = " ".join(arguments[:2]) or "app.py"
        return f"{kind}: the program runs in this Python, so leave it out: gilknocker run {rest}"
    module = os.path.splitext(name)[0]
    if module.replace("-", "_").isidentifier():
        return f"{kind}, not a Python program; a module is run with -m: gilknocker run -m {module}"
    return f"{kind}, not a Python program"


def of_python_option(word: str) -> str:
    """Return what to do with an option of Python's own among those of ``run``."""
    if word[:2] == "--" or word[1:2] not in _PYTHON_OPTIONS:
        return ""
    return f"; Python's own come before -m: python {word} -m gilknocker run ..."


def of_command(words: Sequence[str]) -> str:
    """Return what to do where the first word is no command; "" if there is no idea."""
    first, rest = words[0], list(words[1:])
    if first.startswith("-"):
        if "run" in rest:  # its options came too early
            after = rest.index("run")
            words = [first, *rest[:after], *rest[after + 1 :]]
        return f"; options come after the command: gilknocker run {_line(words[0], words[1:])}"
    if first.endswith(".py") or os.path.exists(first):
        return f"; to run a program: gilknocker run {_line(first, rest)}"
    if first.isidentifier() and rest:
        return f"; to run a module: gilknocker run -m {_line(first, rest)}"
    return ""


def _is_python(name: str) -> bool:
    stem = name.removesuffix(".exe").rstrip("0123456789.t")
    return stem in ("python", "pypy", "py")


def _line(first: str, rest: Sequence[str]) -> str:
    """Return a few words of a command line."""
    words = [first, *rest]
    return " ".join(words[:4]) + (" ..." if len(words) > 4 else "")
