"""A file that is written at exit, whole or not at all; tried at the start, to fail early."""

from __future__ import annotations

import errno
import os

from gilknocker.commands.options import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OutputFile", "require_different"]


class OutputFile:
    """Where a report will be written, whole or not at all.

    Parameters
    ----------
    option : str
        Which option of the command line asks for it.
    path : str
        The file. What is no regular file (a pipe, /dev/stdout) is written to as it is; else a file
        beside it is written first and renamed.

    Attributes
    ----------
    target : str
        The file, from any folder.

    Raises
    ------
    UsageError
        If nothing can be written there, as was tried.
    """

    def __init__(self, option: str, path: str) -> None:
        self._in_place = os.path.exists(path) and not os.path.isfile(path)
        try:
            # Of now: the program may go to another folder. The file itself, not a link to it.
            self.target = os.path.abspath(path) if self._in_place else os.path.realpath(path)
            self._scratch = f"{self.target}.{os.getpid()}.tmp"
            self._try()
        except OSError as error:
            raise UsageError(f"{option} cannot write {path!r}: {error.strerror}") from None

    def _try(self) -> None:
        if self._in_place and not os.path.isdir(self.target):
            # Without opening it: that would end what reads from a pipe.
            if not os.access(self.target, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        if os.path.exists(self.target):
            with open(self.target, "a"):
                pass
        with open(self._scratch, "x"):
            pass
        os.unlink(self._scratch)  # when it is closed: Windows deletes no open file

    def write(self, content: str) -> None:
        """Write it, as UTF-8.

        Raises
        ------
        OSError
            If that fails now; a file that was there before is as it was.
        """
        if self._in_place:
            self._write_to(self.target, content)
            return
        try:
            self._write_to(self._scratch, content)
            os.replace(self._scratch, self.target)
        except OSError:
            if os.path.exists(self._scratch):
                os.unlink(self._scratch)
            raise

    def _write_to(self, path: str, content: str) -> None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)


def require_different(paths: Mapping[str, str | None]) -> None:
    """Require that no two options write the same file.

    Parameters
    ----------
    paths : mapping
        What each option was given; None where it was not.

    Raises
    ------
    UsageError
        If two did. (What is no regular file, a terminal for instance, may have several.)
    """
    options: dict[str, str] = {}
    for option, path in paths.items():
        if path is None or (os.path.exists(path) and not os.path.isfile(path)):
            continue
        try:
            target = os.path.realpath(path)
        except OSError:  # where we are was removed: said when it is tried
            continue
        if target in options:
            raise UsageError(f"{options[target]} and {option} cannot both write {path!r}")
        options[target] = option
