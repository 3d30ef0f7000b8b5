"""How files of ours are written: whole or not at all, and nothing else is replaced."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from gilknocker._files import Target

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root may do that")


@pytest.fixture(params=["unnamed", "named"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One with unnamed files, and one that has none, as NFS."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return str(request.param)


def only(folder: Path, *names: str) -> bool:
    return sorted(os.listdir(folder)) == sorted(names)


def failing(error: BaseException) -> Callable[[BinaryIO], object]:
    def fill(file: BinaryIO) -> None:
        file.write(b"half")
        file.flush()
        raise error

    return fill


def test_a_new_file(tmp_path: Path, file_system: str) -> None:
    mask = os.umask(0o027)
    try:
        Target(tmp_path / "new").write_text("é")
    finally:
        os.umask(mask)
    assert (tmp_path / "new").read_bytes() == "é".encode()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert only(tmp_path, "new")


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_permissions_stay(mode: int, tmp_path: Path, file_system: str) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(mode)
    Target(tmp_path / "old").write_text("new")
    assert (tmp_path / "old").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == mode


@needs_root
def test_owner_and_group_stay(tmp_path: Path, file_system: str) -> None:
    (tmp_path / "old").write_text("old")
    os.chown(tmp_path / "old", 1234, 4321)
    Target(tmp_path / "old").write_text("new")
    status = (tmp_path / "old").stat()
    assert (status.st_uid, status.st_gid) == (1234, 4321)


def test_links_stay(tmp_path: Path, file_system: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "real").write_text("old")
    (tmp_path / "link").symlink_to("a/real")
    (tmp_path / "dangling").symlink_to("a/none")
    Target(tmp_path / "link").write_text("new")
    Target(tmp_path / "dangling").write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "dangling").is_symlink()
    assert (tmp_path / "a" / "real").read_text() == (tmp_path / "a" / "none").read_text() == "new"
    assert only(tmp_path / "a", "real", "none")


def test_letters_that_are_none_are_escaped(tmp_path: Path) -> None:
    """As in a name that was cut in the middle of one, or a path that is not UTF-8."""
    Target(tmp_path / "r").write_text("µ \udcff")
    assert (tmp_path / "r").read_bytes() == "µ \\udcff".encode()


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        Target(tmp_path / "a")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "full"), ValueError("it")])
def test_what_fails_leaves_the_old_file(
    error: BaseException, tmp_path: Path, file_system: str
) -> None:
    (tmp_path / "old").write_text("old")
    for name in ("old", "new"):
        with pytest.raises(type(error)):
            Target(tmp_path / name).write(failing(error))
    assert (tmp_path / "old").read_text() == "old" and only(tmp_path, "old")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, file_system: str) -> None:
    """The limit on the size of files fails as a full disk does."""
    import resource

    (tmp_path / "old").write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            Target(tmp_path / "old").write_text("x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / "old").read_text() == "old" and only(tmp_path, "old")


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="there are no unnamed files here")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_kill_leaves_the_old_file_and_nothing_else(number: int, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    code = (
        "import os, signal, sys\n"
        # Not inherited: in the background of a shell it is ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from gilknocker._files import Target\n"
        "def fill(file):\n"
        "    file.write(b'half'); file.flush()\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    import time; time.sleep(9)\n"
        "Target(sys.argv[1]).write(fill)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "old"], stderr=subprocess.DEVNULL, timeout=60
    )
    assert done.returncode == -number
    assert (tmp_path / "old").read_text() == "old" and only(tmp_path, "old")


@needs_root
def test_a_device_stays_one(tmp_path: Path) -> None:
    os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    Target(tmp_path / "null").write_text("new")
    assert stat.S_ISCHR((tmp_path / "null").stat().st_mode) and only(tmp_path, "null")


@needs_root
def test_a_device_that_is_gone_becomes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gilknocker._files._is_special", lambda path: True)  # seen a moment ago
    with pytest.raises(FileNotFoundError):
        Target(tmp_path / "gone").write_text("new")
    assert only(tmp_path)


def test_a_fifo_stays_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    Target(tmp_path / "pipe").check()
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        Target(tmp_path / "pipe").write_text("new")
        assert os.read(reader, 99) == b"new"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode) and only(tmp_path, "pipe")


def test_a_path_that_became_a_fifo(tmp_path: Path) -> None:
    target = Target(tmp_path / "path")
    os.mkfifo(tmp_path / "path")
    reader = os.open(tmp_path / "path", os.O_RDONLY | os.O_NONBLOCK)
    try:
        target.write_text("new")
        assert os.read(reader, 99) == b"new"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "path").stat().st_mode)


proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc here")


@proc
def test_a_redirected_file_goes_on(tmp_path: Path) -> None:
    """`prog --json /dev/stdout > file`: the file has what was printed, then ours, no other file."""
    with open(tmp_path / "file", "wb", buffering=0) as file:
        file.write(b"printed ")
        target = Target(f"/dev/fd/{file.fileno()}")
        target.check()
        target.write_text("ours ")
        file.write(b"printed later")
    assert (tmp_path / "file").read_text() == "printed ours printed later"
    assert only(tmp_path, "file")


@proc
def test_a_socket_that_is_open() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Target(f"/proc/self/fd/{ours.fileno()}").write_text("new")
        assert theirs.recv(99) == b"new"


@proc
def test_a_descriptor_that_leads_elsewhere_by_now(tmp_path: Path) -> None:
    with open(tmp_path / "first", "wb") as first, open(tmp_path / "own", "wb") as own:
        target = Target(f"/dev/fd/{first.fileno()}")
        os.dup2(own.fileno(), first.fileno())
        with pytest.raises(OSError, match="Bad file descriptor"):
            target.write_text("new")
    assert (tmp_path / "own").read_bytes() == b""


@needs_root
@pytest.mark.skipif(sys.platform != "linux", reason="mounts are Linux's")
def test_a_file_that_is_mounted_by_itself(tmp_path: Path, file_system: str) -> None:
    (tmp_path / "old").write_text("old and longer")
    (tmp_path / "mounted").write_text("")
    mount = ["mount", "--bind", str(tmp_path / "old"), str(tmp_path / "mounted")]
    if subprocess.run(mount, capture_output=True, timeout=300).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        Target(tmp_path / "mounted").write_text("new")
        assert (tmp_path / "old").read_text() == "new"
    finally:
        subprocess.run(["umount", tmp_path / "mounted"], check=True, timeout=300)
    assert only(tmp_path, "old", "mounted")


@pytest.mark.skipif(ROOT, reason="root may write anything")
def test_a_file_without_write_permission_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o444)
    with pytest.raises(PermissionError):
        Target(tmp_path / "old").check()
    with pytest.raises(PermissionError):
        Target(tmp_path / "old").write_text("new")
    assert (tmp_path / "old").read_text() == "old"


def test_a_name_as_long_as_may_be(tmp_path: Path, file_system: str) -> None:
    target = Target(tmp_path / ("x" * 255))
    target.check()
    target.write_text("new")
    assert only(tmp_path, "x" * 255)


@pytest.mark.parametrize("name", ["", "none/file"])
def test_what_cannot_be_written(name: str, tmp_path: Path, file_system: str) -> None:
    for attempt in (Target.check, lambda target: target.write_text("new")):
        with pytest.raises(OSError, match="directory"):
            attempt(Target(tmp_path / name))
    assert only(tmp_path)
