"""Machines that withhold what is usually there."""

from __future__ import annotations

import ctypes
import os
import resource
import sys

import quota
from filters import ENOSYS, EPERM, deny
from registry import fault
from subject import (
    check_goes_on,
    in_child,
    is_ours,
    kept,
    make,
    may,
    our_threads,
    pause,
    started,
    wait_until,
)

NOBODY = 65534
CLONE_NEWNS = 0x00020000
MS_REC_PRIVATE = 0x4000 | 0x40000


def _root() -> str:
    return "" if os.getuid() == 0 else "it takes root to become somebody else"


@fault("`RLIMIT_NPROC`: no thread to be had", missing=_root)
def no_threads() -> None:
    mine = make()
    other = make()  # has all imports
    other.start()
    other.stop()
    if is_ours():
        wait_until(lambda: our_threads() == [])
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    os.setresuid(NOBODY, NOBODY, NOBODY)
    for _ in range(3):
        try:
            mine.start()
        except Exception:  # ours: RuntimeError
            assert not mine.is_running
            mine.stop()
            if is_ours():
                assert our_threads() == []
        else:
            raise AssertionError("it started")


def _stack(size: int) -> None:
    """Give the threads that C code starts from now on `size` bytes."""
    libc = ctypes.CDLL(None)
    attributes = ctypes.create_string_buffer(64)
    assert libc.pthread_attr_init(attributes) == 0
    assert libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(size)) == 0
    assert libc.pthread_setattr_default_np(attributes) == 0


@fault("stacks of 64 KiB")
def small_stacks() -> None:
    _stack(64 << 10)
    kept.extend(started())
    check_goes_on(kept[0])


@fault("stacks of 8 MiB")
def large_stacks() -> None:
    _stack(8 << 20)
    kept.extend(started())
    check_goes_on(kept[0])


@fault("one CPU")
def one_cpu() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    [mine] = started()
    check_goes_on(mine)
    in_child(lambda: check_goes_on(started()[0]))
    check_goes_on(mine)
    pause()


@fault("a fifth of a CPU, by a cgroup's quota", missing=quota.missing, before=quota.enter)
def cpu_quota() -> None:
    kept.extend(started(2))
    for mine in kept:
        check_goes_on(mine)
    in_child(lambda: check_goes_on(started()[0]))
    check_goes_on(kept[0])
    pause()


def _hide_proc() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for failed in (
        libc.unshare(CLONE_NEWNS),
        libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC_PRIVATE), None),
        libc.mount(b"none", b"/proc", b"tmpfs", ctypes.c_ulong(0), None),
    ):
        if failed:
            raise OSError(ctypes.get_errno(), "no namespace of its own")


def _no_namespace() -> str:
    return "" if may(_hide_proc) else "`unshare` and `mount` are not permitted here"


@fault("no `/proc`", missing=_no_namespace, before=_hide_proc)
def no_proc() -> None:
    assert not os.path.exists("/proc/self")
    [mine] = started()
    check_goes_on(mine)
    kept.append(mine)
    pause()


def _no_filter() -> str:
    supported = sys.platform == "linux" and os.uname().machine in ("x86_64", "aarch64")
    return "" if supported else "seccomp filters for this machine are not written"


def _filtered() -> None:
    [mine] = started()
    check_goes_on(mine)
    kept.append(mine)
    pause()


@fault(
    "seccomp: EPERM for `sched_setattr`, `process_vm_readv`",
    missing=_no_filter,
    before=lambda: deny(EPERM),
)
def seccomp_eperm() -> None:
    _filtered()


@fault(
    "seccomp: ENOSYS for `sched_setattr`, `process_vm_readv`",
    missing=_no_filter,
    before=lambda: deny(ENOSYS),
)
def seccomp_enosys() -> None:
    _filtered()
