"""A seccomp filter, made by hand: some system calls answer with an error."""

from __future__ import annotations

import ctypes
import os
from errno import ENOSYS, EPERM

__all__ = ["ENOSYS", "EPERM", "deny"]

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ANSWER_ERRNO = 0x7FFF0000, 0x00050000
# sched_setattr, sched_getattr, process_vm_readv
CALLS = {"x86_64": (314, 315, 310), "aarch64": (274, 275, 270)}


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("start", ctypes.POINTER(_Instruction))]


def deny(errno: int) -> None:
    """Let the calls that the package can do without fail with `errno`, from now on.

    Raises
    ------
    OSError
        If the filter cannot be installed.
    """
    calls = CALLS[os.uname().machine]
    program = [_Instruction(LOAD_WORD, 0, 0, 0)]  # the number of the call
    for place, call in enumerate(calls):
        program.append(_Instruction(JUMP_IF_EQUAL, len(calls) - place, 0, call))
    program.append(_Instruction(RETURN, 0, 0, ALLOW))
    program.append(_Instruction(RETURN, 0, 0, ANSWER_ERRNO | errno))
    array = (_Instruction * len(program))(*program)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    zero = ctypes.c_ulong(0)
    whole = ctypes.byref(_Program(len(program), array))
    if prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) or prctl(
        PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), whole, zero, zero
    ):
        raise OSError(ctypes.get_errno(), "the seccomp filter was refused")
    # At work: such a call is refused now.
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(ctypes.c_long(calls[1]), 0, None, 0, 0) == -1
    assert ctypes.get_errno() == errno
