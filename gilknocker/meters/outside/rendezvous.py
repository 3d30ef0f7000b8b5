"""Where a process that was asked to measure itself meets who asked: a socket in a folder."""

from __future__ import annotations

import os
import select
import socket
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

from gilknocker.meters.attached import PROTOCOL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gilknocker.meters.outside.target import Target

__all__ = ["Rendezvous", "hint", "our_site"]

# What the process runs: as little as can be in the thread that was asked, the rest beside it.
# Whatever goes wrong there, nothing of it may be seen.
_SCRIPT = """\
def work(folder, site, protocol):
    try:
        from _socket import AF_UNIX, socket
        control = socket(AF_UNIX)
        try:
            control.connect(folder + "/socket")
        except OSError:
            import os
            for remove, path in ((os.unlink, "/attach.py"), (os.unlink, "/socket"), (os.rmdir, "")):
                try:
                    remove(folder + path)
                except OSError:
                    pass
            return
        try:
            try:
                import gilknocker
            except ModuleNotFoundError:
                if site is None:
                    raise
                import sys
                from importlib.util import module_from_spec
                from importlib.machinery import PathFinder
                spec = PathFinder.find_spec("gilknocker", [site])
                if spec is None:
                    raise
                module = sys.modules["gilknocker"] = module_from_spec(spec)
                try:
                    spec.loader.exec_module(module)
                except BaseException:
                    del sys.modules["gilknocker"]
                    raise
            from gilknocker.meters.attached import PROTOCOL, attach
            if PROTOCOL != protocol:
                raise ImportError("it has another version of gilknocker")
            attach(control, folder)
        except BaseException as error:
            from json import dumps
            control.send(dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\\n")
            control.close()
    except BaseException:
        pass
try:
    import _thread
    _thread.start_new_thread(work, ARGUMENTS)
except BaseException:
    pass
"""
_PEER = struct.Struct("3i")  # struct ucred: process, user, group
_MOST_PATH = 80  # so that the address of the socket has less than 108 bytes


_PACKAGE = Path(__file__).resolve().parents[2]


def our_site(target: Target) -> str | None:
    """Return the folder of our package, if the process could import it from there."""
    return None if _why_not_ours(target) else str(_PACKAGE.parent)


def _why_not_ours(target: Target) -> str:
    tag = "cpython-{}{}-".format(*target.version)
    if not any(_PACKAGE.glob(f"_core.{tag}*")):
        return "ours is for another Python"
    with suppress(OSError):
        if Path(f"{target.process.folder}/root{_PACKAGE}").samefile(_PACKAGE):
            return ""
    return f"ours, in {_PACKAGE.parent}, cannot be reached from there"


def hint(target: Target, error: str) -> str:
    """Return what helps against an error of the process's import of gilknocker; "" if unknown."""
    if "No module named 'gilknocker." in error or "has another version" in error:
        return "; it has an older gilknocker, or a newer one: have the same there as here"
    if "No module named 'gilknocker'" in error:
        version = "{}.{}".format(*target.version)
        return f"; {_why_not_ours(target)}: install it there, for Python {version}"
    return ""


def _folder(target: Target) -> tuple[str, str]:
    """Return a new folder that only we may enter: its path here, and there."""
    root = f"{target.process.folder}/root"
    for there in (tempfile.gettempdir(), "/tmp"):
        with suppress(OSError):
            same = os.path.samefile(root + there, there)
            base = there if same else root + there
            if len(base) <= _MOST_PATH:
                here = tempfile.mkdtemp(prefix="gilknocker-", dir=base)
                return here, here if same else here.removeprefix(root)
    raise OSError(f"process {target.process.pid} has no /tmp that can be written to")


class Rendezvous:
    """A folder with a socket, and with the file that the process is to run.

    Only the process's user may enter it, and only the process is let in.

    Parameters
    ----------
    target : Target
        The process.

    Attributes
    ----------
    script : str
        The path of the file, as the process sees it.
    """

    def __init__(self, target: Target) -> None:
        self._pid = target.process.pid
        self._user, group = target.process.user()
        self._folder, there = _folder(target)
        self._group = group
        self._listener: socket.socket | None = None
        self.script = f"{there}/attach.py"
        try:
            self._listen("socket")
            arguments = repr((there, our_site(target), PROTOCOL))
            script = Path(self._folder, "attach.py")
            script.write_text(_SCRIPT.replace("ARGUMENTS", arguments))
            self._give(str(script))
            self._give(self._folder)
        except BaseException:
            self.close()
            raise

    def _listen(self, name: str) -> None:
        if self._listener is not None:
            self._listener.close()
        self._listener = socket.socket(socket.AF_UNIX)
        path = f"{self._folder}/{name}"
        self._listener.bind(path)
        self._give(path)
        self._listener.listen(4)
        self._listener.settimeout(0)

    def _give(self, path: str) -> None:
        """Let the process's user have it, where that is another than ours."""
        if self._user != os.geteuid():
            os.chown(path, self._user, self._group)

    def listen_for_stalls(self) -> None:
        """Accept from now on who tells of stalls, and no thread that was asked, too, any more."""
        self._listen("stalls")

    def accept(self, seconds: float) -> socket.socket | None:
        """Return a connection of the process's; None if none comes in that time."""
        assert self._listener is not None
        if not select.select([self._listener], [], [], seconds)[0]:
            return None
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:  # it has gone again
            return None
        who = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        pid, user, _ = _PEER.unpack(who)
        if (pid, user) == (self._pid, self._user):
            return connection
        connection.close()
        return None

    def close(self) -> None:
        """Remove it. Who comes too late finds nothing, and goes quietly."""
        if self._listener is not None:
            self._listener.close()
        for name in ("attach.py", "socket", "stalls"):
            with suppress(OSError):
                os.unlink(f"{self._folder}/{name}")
        with suppress(OSError):
            os.rmdir(self._folder)
