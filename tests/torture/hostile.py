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
    check_never_ran,
    in_child,
    is_ours,
    kept,
    make,
    may,
    numbers,
    our_threads,
    pause,
    started,
    tracers,
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


def _no_counting() -> str:
    from gilknocker import GilTracer

    return GilTracer.supported()[1]


def _put_back(slots: list[int], real: int) -> None:
    """Put the function itself where our hook stands, as who knows nothing of us would.

    The first of the slots is of `pthread_cond_signal`; a tracer has others behind it.
    """
    libc = ctypes.CDLL(None)
    cells = [ctypes.c_size_t.from_address(slot) for slot in slots]
    if not cells:
        return  # whoever counted has seen that somebody was in the way, and looks by now
    hook = cells[0].value
    for slot, cell in zip(slots, cells, strict=True):
        if cell.value == hook:
            libc.mprotect(ctypes.c_void_p(slot & ~0xFFF), ctypes.c_size_t(4096), 3)
            cell.value = real


@fault(
    "the pointers that counting redirects, put back by others again and again",
    only_ours=True,
    missing=_no_counting,
)
def pointers_put_back() -> None:
    from gilknocker import _core

    real = ctypes.cast(ctypes.CDLL(None).pthread_cond_signal, ctypes.c_void_p).value
    assert real
    others = [make(method="count") for _ in range(3)]
    [mine] = started(method="count")
    kept.extend(tracers)
    tracers.clear()  # what is withheld from one it cannot know
    for _ in range(numbers.randrange(5, 30)):
        other = numbers.choice(others)
        other.start()
        if numbers.random() < 0.5:
            _put_back(_core.trace_slots(), real)
        pause()
        if numbers.random() < 0.5:
            other.stop()
        if numbers.random() < 0.1:
            in_child(lambda: check_never_ran(mine), orderly=numbers.random() < 0.5)
    check_goes_on(mine)
    kept.extend([mine, *others])
