"""A Python in another process: found, and proven before anything that is read of it is believed."""

from __future__ import annotations

import os
import re
import struct
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from gilknocker import _outside
from gilknocker.meters.outside.elf import Elf, NotElf
from gilknocker.meters.outside.layouts import LAYOUTS
from gilknocker.meters.outside.process import Mapped, NoProcess, Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NoPython", "Target", "Thread", "Unreadable"]

_NONE = 2**32 - 1
_COOKIE = b"xdebugpy"
_MOST_THREADS = 10_000
_PROOFS = 20
# Its state is an interval, an address, two numbers, then two pairs of a condition variable and a
# mutex: 32 + 2 * (48 + 40) bytes, with glibc and musl.
_GIL_SIZE = 208
_NAMED = re.compile(r"python(\d)\.?(\d+)", re.IGNORECASE)


class Unreadable(Exception):
    """There is a process, and what it runs cannot be read; the message says why."""


class NoPython(Unreadable):
    """A process runs no CPython, but a `program`, as its command line has it, or is the kernel's.

    Then `kernel` is what that calls it, else "".
    """

    def __init__(self, process: Process) -> None:
        super().__init__(f"process {process.pid} runs no CPython that could be found")
        self.program = " ".join(process.command())
        self.kernel = process.kernel_name()


class Thread(NamedTuple):
    """A thread of the target: where its state is, its numbers, its name to the system."""

    state: int
    serial: int
    native_id: int
    name: str


def _read_names(path: str, file: tuple[int, ...]) -> tuple[dict[str, int], int | None]:
    """Return the addresses that a file gives to what is looked for, and its first address.

    That is None where it is loaded at that address and no other. To be asked once for each `file`:
    many processes may run it.
    """
    elf = Elf(path)
    found = elf.symbols({"_PyRuntime", "PyCode_Type", "Py_Version"})
    if "_PyRuntime" not in found and (section := elf.section(".PyRuntime")):
        found["_PyRuntime"] = section
    return found, None if elf.is_fixed else elf.first_address


_names = lru_cache(maxsize=32)(_read_names)


class Target:
    """The main interpreter of a process.

    Parameters
    ----------
    pid : int
        The process.

    Attributes
    ----------
    version : tuple of int
        Of its Python: major and minor.
    process : Process
        What /proc says of it.
    gil_range : range
        The addresses of its GIL's state, with the condition variables on which threads wait.

    Raises
    ------
    NoProcess
        If it is not there or may not be read.
    Unreadable
        If it runs no CPython, or one whose layout is not known or not proven.
    """

    def __init__(self, pid: int) -> None:
        for tries_left in (2, 1, 0):
            self.process = Process(pid)
            try:
                self._make_out(pid)
                return
            except Unreadable:
                # What ends meanwhile reads as anything: as no Python, or as one of another layout.
                is_replaced = self.process.is_replaced
                if is_replaced and tries_left:
                    continue  # it executes another program right now, which is what was meant
                if is_replaced or self.process.has_ended:
                    raise NoProcess(self.process.fate) from None
                raise

    def _make_out(self, pid: int) -> None:
        addresses = self._find()
        self._runtime = addresses["_PyRuntime"]
        self.version = self._version(addresses)
        if self.version not in LAYOUTS:
            known = ["{}.{}".format(*version) for version in LAYOUTS]
            raise Unreadable(
                f"process {pid} runs Python {self.version[0]}.{self.version[1]}; "
                f"this gilknocker reads {known[0]} to {known[-1]}"
            )
        self._layout = dict(LAYOUTS[self.version])
        # The interpreter that was first, and not the newest: its GIL is the one to be asked for.
        self._interpreter = self._word(self._runtime + self._layout["runtime_main"])
        gil = self._gil()
        offsets = ("runtime_", "interpreter_", "gil_interval")
        others = ("thread_next", "thread_interpreter")
        layout = {
            name: value
            for name, value in self._layout.items()
            if not name.startswith(offsets) and name not in others
        }
        layout |= {"gil": gil, "code_type": addresses.get("PyCode_Type", 0)}
        self._gil_address = gil
        self.gil_range = range(gil, gil + _GIL_SIZE)
        self._prove()
        self._interval = 0
        self.switch_interval_ns()
        self.reader = _outside.Target(pid, layout)

    # ---- where it is ---------------------------------------------------------------------------

    def _find(self) -> dict[str, int]:
        for mapped in self._candidates():
            try:
                status = os.stat(mapped.readable)
                file = status.st_dev, status.st_ino, status.st_mtime_ns
                found, first = _names(mapped.readable, file)
            except (NotElf, OSError):
                continue
            if "_PyRuntime" in found:
                self._path = mapped.path
                shift = 0 if first is None else mapped.address - first
                return {name: address + shift for name, address in found.items()}
        raise NoPython(self.process)

    def _candidates(self) -> list[Mapped]:
        """Return its files, the likely ones first: the executable, and libpython."""
        mapped = self.process.mapped()
        executable = mapped[0].path if mapped else ""
        return sorted(
            (one for one in mapped if one.path == executable or "python" in one.path.lower()),
            key=lambda one: "libpython" not in one.path,
        )

    def _version(self, addresses: dict[str, int]) -> tuple[int, int]:
        # 3.13+ say it in front of all else; 3.11+ in a number of that name; 3.10 in its file's.
        head = self._read(self._runtime, 24)
        if head[:8] == _COOKIE:
            if any(head[16:]):
                raise Unreadable(
                    f"process {self.process.pid} runs a free-threaded build of Python "
                    f"{head[11]}.{head[10]}, which cannot be read from outside or attached to; "
                    "gilknocker run measures a program from its start"
                )
            return head[11], head[10]
        if "Py_Version" in addresses:
            number = self._read(addresses["Py_Version"], 4)
            return number[3], number[2]
        for text in (self._path, *self.process.command()[:1]):
            if match := _NAMED.search(text):
                return int(match[1]), int(match[2])
        raise Unreadable(f"process {self.process.pid} does not say which Python it runs")

    def _gil(self) -> int:
        if "runtime_gil" in self._layout:
            return self._runtime + self._layout["runtime_gil"]
        return self._word(self._interpreter + self._layout["interpreter_gil"])

    # ---- reading -------------------------------------------------------------------------------

    def _read(self, address: int, size: int) -> bytes:
        try:
            return _outside.read(self.process.pid, address, size)
        except OSError as error:
            raise NoProcess(self.process.denied(error)) from None

    def _word(self, address: int) -> int:
        [word] = struct.unpack("<Q", self._read(address, 8))
        return int(word)

    def threads(self) -> list[Thread]:
        """Return the threads that the main interpreter knows, the newest first.

        It runs on meanwhile: one that begins or ends now may be there or not.
        """
        names = self.process.threads()
        found = []
        for state, serial in self._states():
            native = 0
            if "thread_native_id" in self._layout:
                native = self._word(state + self._layout["thread_native_id"])
            found.append(Thread(state, serial, native, names.get(native, "")))
        return found

    def _states(self) -> Iterator[tuple[int, int]]:
        """Yield where the state of each thread is, and its serial."""
        layout = self._layout
        state = self._word(self._interpreter + layout["interpreter_threads"])
        for _ in range(_MOST_THREADS):
            if not state or self._word(state + layout["thread_interpreter"]) != self._interpreter:
                return  # the last one, or one that was freed while we looked
            yield state, self._word(state + layout["thread_id"])
            state = self._word(state + layout["thread_next"])

    def is_there(self, thread: Thread) -> bool:
        """Whether a thread is still there, asked quickly."""
        return (thread.state, thread.serial) in self._states()

    def holder(self) -> int:
        """Return the address of the state of the thread that holds the GIL; 0 if none does."""
        locked = self._read(self._gil_address + self._layout["gil_locked"], 4)
        return self.last_holder() if struct.unpack("<i", locked)[0] == 1 else 0

    def last_holder(self) -> int:
        """Return the address of the state of the thread that holds the GIL, or did last."""
        return self._word(self._gil_address + self._layout["gil_last_holder"])

    def debugger_support(self) -> tuple[int, int] | None:
        """Return where it says how a debugger asks it to run a file, and its interpreter's state.

        None before Python 3.14, which has no such thing.
        """
        if "runtime_debugger" not in self._layout:
            return None
        return self._runtime + self._layout["runtime_debugger"], self._interpreter

    def switch_interval_ns(self) -> int:
        """Return its ``sys.getswitchinterval()``, ns; as last read if it has ended."""
        with suppress(NoProcess):
            self._interval = self._word(self._gil_address + self._layout["gil_interval"]) * 1000
        return self._interval

    # ---- proof ---------------------------------------------------------------------------------

    def _prove(self) -> None:
        """Require that lock word, holder and list of threads agree, again and again."""
        agreed = 0
        for _ in range(_PROOFS):
            try:
                problem = self._disagreement()
            except NoProcess:
                if not self.process.threads():
                    raise
                problem = "an address is not there"
            agreed += problem is None
        # A thread that began or ended while we looked may spoil one or the other.
        if agreed < _PROOFS // 2:
            raise Unreadable(
                f"process {self.process.pid} runs Python {self.version[0]}.{self.version[1]}, but "
                f"its memory does not read as that does: {problem} (a debug build, or one that "
                "was changed?)"
            )

    def _disagreement(self) -> str | None:
        layout, gil = self._layout, self._gil_address
        if self._word(self._interpreter + layout["interpreter_id"]) != 0:
            return "the main interpreter is not where it should be"
        [locked] = struct.unpack("<i", self._read(gil + layout["gil_locked"], 4))
        if locked not in (0, 1):
            return f"the lock word is {locked}"
        interval = self._word(gil + layout["gil_interval"])
        if not 1 <= interval <= 10**9:
            return f"the switch interval is {interval} µs"
        threads = self.threads()
        holder = self._word(gil + layout["gil_last_holder"])
        if not threads:
            return "it has no threads"
        if locked and holder not in {thread.state for thread in threads}:
            return "the holder is none of its threads"
        if "thread_native_id" in layout:
            known = self.process.threads()
            if not any(thread.native_id in known for thread in threads):
                return "its threads are unknown to the system"
        return None
