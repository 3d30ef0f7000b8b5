"""The stderr of the start: where reports and the status line go, and nowhere else."""

from __future__ import annotations

import errno
import os
import sys

from gilknocker._units import fitting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["CLEAR_LINE", "FirstStderr", "OpenFile", "flush"]

CLEAR_LINE = "\r\x1b[K"  # on a terminal: from the beginning of the line, erase to its end


class OpenFile:
    """A file descriptor, for as long as it leads where it led when this was made.

    A program may close it and open a file of its own, which gets the same number.

    Parameters
    ----------
    fd : int
        The descriptor.
    encoding : str, default "utf-8"
        How text is written to it.

    Raises
    ------
    OSError
        If it is closed.
    """

    def __init__(self, fd: int, encoding: str = "utf-8") -> None:
        self.fd = fd
        self.encoding = encoding
        self._identity = _identity(fd)

    def is_there(self) -> bool:
        """Whether it still leads there."""
        try:
            return _identity(self.fd) == self._identity
        except OSError:
            return False

    def write(self, text: str) -> None:
        """Write all of `text`, escaped where its encoding has no such letter.

        Raises
        ------
        OSError
            If that fails, or it leads somewhere else by now.
        """
        if not self.is_there():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        rest = memoryview(fitting(text, self).encode(self.encoding))
        while rest:
            rest = rest[os.write(self.fd, rest) :]


class FirstStderr:
    """What was ``sys.stderr`` when this was made, whatever the program puts in its place.

    Attributes
    ----------
    file : OpenFile or None
        None if it was closed already, or no file.
    """

    def __init__(self) -> None:
        self._stream: TextIO | None = sys.stderr
        self.file: OpenFile | None = None
        try:
            if self._stream is not None:
                self.file = OpenFile(self._stream.fileno(), self._stream.encoding or "utf-8")
        except (OSError, ValueError):
            return

    def is_terminal(self) -> bool:
        """Whether it is a terminal on which a line can be repainted."""
        terminal = os.environ.get("TERM", "") not in ("", "dumb")
        return terminal and self.file is not None and os.isatty(self.file.fd)

    def write(self, message: str) -> None:
        """Write to it if it is still there.

        Past its buffer: what cannot be written must not be left in there, for Python would fail
        to flush it and change the exit status to 120.
        """
        if self.file is None or self._stream is None:
            return
        flush(self._stream)
        try:
            self.file.write(message)
        except (OSError, ValueError):
            return  # closed, or nobody reads it


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def flush(stream: TextIO | None) -> None:
    """Flush a stream, if that is possible."""
    try:
        if stream is not None:
            stream.flush()
    except Exception:
        pass  # Python tries again, and tells
