"""Files of ours: written whole or not at all, and nothing but a regular file is ever replaced."""

from __future__ import annotations

import errno
import os
from stat import S_IMODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO, TypeAlias

    _Fill: TypeAlias = Callable[[BinaryIO], object]

__all__ = ["Target"]

_MOST_LINKS = 40  # as the kernel follows at most
_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


class Target:
    """Where something will be written.

    A regular file is written beside its place and renamed, so that there is the old one or the
    new one, whatever happens: a full disk, an interrupt, a kill. It keeps its permissions, and
    its owner and group as far as this process may give them; symbolic links stay, and what they
    lead to is replaced; other hard links to the old file keep the old content. Anything else (a
    device, a pipe, what ``/dev/stdout`` and ``/dev/fd/3`` lead to) is written in place, at its
    end.

    Parameters
    ----------
    path : path-like
        The file, which need not exist. A relative one is from the folder of now.

    Attributes
    ----------
    path : str
        The file from any folder.

    Raises
    ------
    OSError
        If the folder where we are has been removed, or there are too many links.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._fd = _open_file(os.fspath(path))
        self._was = _identity(self._fd)
        in_place = self._fd is not None or _is_special(path)
        self.path = os.path.abspath(path) if in_place else os.path.realpath(path)
        self._stamp = _stamp(self.path)

    @property
    def in_place(self) -> bool:
        """Whether it is written as it is, for it is no regular file."""
        return self._fd is not None or _is_special(self.path)

    @property
    def was_written(self) -> bool:
        """Whether somebody else has written this regular file since this was made."""
        return not self.in_place and _stamp(self.path) not in (self._stamp, None)

    def beside(self, mark: str) -> Target:
        """Return another file in the same folder: with `mark` before the end of its name."""
        root, end = os.path.splitext(self.path)
        return Target(f"{root}.{mark}{end}")

    def check(self) -> None:
        """Try whether it can be written, and leave everything as it is.

        Raises
        ------
        OSError
            If it cannot.
        """
        if os.path.isdir(self.path):
            raise _error(errno.EISDIR, self.path)
        if self._fd is not None:
            os.close(os.dup(self._fd))
            return
        if os.path.exists(self.path) and not os.access(self.path, os.W_OK):
            raise _error(errno.EACCES, self.path)
        if self.in_place:
            return  # without opening it: that would end what reads from a pipe
        scratch = self._scratch()
        os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.unlink(scratch)  # when it is closed: Windows deletes no open file

    def write(self, fill: _Fill) -> None:
        """Write it.

        Parameters
        ----------
        fill : callable
            Called with a binary file, to write into it; twice where that turns out to be needed.

        Raises
        ------
        OSError
            If that fails; a regular file that was there before is as it was.
        """
        if self.in_place:
            with os.fdopen(self._opened(), "wb") as file:
                fill(file)
            return
        if os.path.exists(self.path) and not os.access(self.path, os.W_OK):
            raise _error(errno.EACCES, self.path)
        scratch = self._scratch()
        try:
            if not self._fill_unnamed(fill, scratch):
                fd = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, self._mode())
                with os.fdopen(fd, "wb") as file:
                    self._fill(file, fill)
            self._rename(scratch)
        finally:  # also after an interrupt
            if os.path.exists(scratch):
                os.unlink(scratch)

    def write_text(self, text: str) -> None:
        """Write `text` as UTF-8, as :meth:`write` does; letters that are none are escaped."""
        self.write(lambda file: file.write(text.encode("utf-8", "backslashreplace")))

    def _opened(self) -> int:
        if self._fd is None:
            # Not created: what was a device a moment ago must not become a file.
            return os.open(self.path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))
        if _identity(self._fd) != self._was:  # another file got its number
            raise _error(errno.EBADF, self.path)
        return os.dup(self._fd)

    def _fill_unnamed(self, fill: _Fill, scratch: str) -> bool:
        """Write a file that gets its name when it is whole: killed before, it leaves nothing.

        Returns
        -------
        bool
            Whether that is possible: not on every file system (NFS), nor without /proc.
        """
        if not hasattr(os, "O_TMPFILE"):
            return False
        folder = os.open(os.path.dirname(scratch), os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fd = os.open(".", os.O_TMPFILE | os.O_WRONLY, self._mode(), dir_fd=folder)
            except OSError as error:
                if error.errno in _NO_UNNAMED_FILES:
                    return False
                raise
            with os.fdopen(fd, "wb") as file:
                self._fill(file, fill)
                file.flush()
                try:
                    # With a folder's descriptor this is linkat(), which follows the link.
                    os.link(f"/proc/self/fd/{fd}", os.path.basename(scratch), dst_dir_fd=folder)
                except OSError:
                    return False
        finally:
            os.close(folder)
        return True

    def _fill(self, file: BinaryIO, fill: _Fill) -> None:
        if hasattr(os, "fchown") and os.path.exists(self.path):
            old = os.stat(self.path)
            for owner, group in ((old.st_uid, -1), (-1, old.st_gid)):
                try:
                    os.fchown(file.fileno(), owner, group)
                except PermissionError:
                    continue
            # Before there is anything to be read in it.
            os.fchmod(file.fileno(), S_IMODE(old.st_mode))
        fill(file)

    def _rename(self, scratch: str) -> None:
        try:
            os.replace(scratch, self.path)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            # A file that is mounted by itself, as containers have them, keeps its place.
            with open(scratch, "rb") as source, open(self.path, "r+b") as target:
                while block := source.read(1 << 20):
                    target.write(block)
                target.truncate()

    def _mode(self) -> int:
        return 0o600 if os.path.exists(self.path) else 0o666

    def _scratch(self) -> str:
        """Return a name beside it, short even where its own is as long as may be."""
        name = f".gilknocker-{os.getpid()}-{os.urandom(4).hex()}.tmp"
        return os.path.join(os.path.dirname(self.path), name)


def _open_file(path: str) -> int | None:
    """Return the descriptor that a path leads to by /proc/self/fd, as /dev/stdout does.

    Such a link leads to what is open there, whatever name it has by now; to replace what has that
    name would take it away from who goes on writing to it.
    """
    path = os.path.abspath(path)
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(path)
        folder = os.path.realpath(folder)
        if folder == f"/proc/{os.getpid()}/fd" and name.isdecimal():
            return int(name)
        if not os.path.islink(path):
            return None
        path = os.path.abspath(os.path.join(folder, os.readlink(path)))
    raise _error(errno.ELOOP, path)


def _is_special(path: str | os.PathLike[str]) -> bool:
    return os.path.exists(path) and not os.path.isfile(path)


def _identity(fd: int | None) -> tuple[int, int] | None:
    if fd is None:
        return None
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
