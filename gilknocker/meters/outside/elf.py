"""Names and sections of a 64-bit little-endian ELF file: as much as is needed to find a Python."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

__all__ = ["Elf", "NotElf"]

_PT_LOAD = 1
_SHT_SYMTAB, _SHT_DYNSYM = 2, 11
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMBOLS_MOST = 2_000_000


class NotElf(ValueError):
    """A file is no ELF file of this kind, or is damaged."""


class _Section(NamedTuple):
    name: int
    kind: int
    address: int
    offset: int
    size: int
    link: int


class Elf:
    """One file.

    Parameters
    ----------
    path : path-like
        The file.

    Attributes
    ----------
    is_fixed : bool
        Whether it is loaded at the very addresses that it names.
    first_address : int
        The address that it names for its first byte.

    Raises
    ------
    NotElf
        If it is something else.
    OSError
        If it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        with open(path, "rb") as file:
            try:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:
                raise NotElf(f"{path} is empty") from error
        try:
            self._read_headers()
        except (struct.error, IndexError) as error:
            raise NotElf(f"{path} is damaged") from error

    def _read_headers(self) -> None:
        if self._bytes[:6] != b"\x7fELF\x02\x01":
            raise NotElf("no 64-bit little-endian ELF file")
        head = _HEADER.unpack_from(self._bytes)
        self.is_fixed = head[1] == 2
        programs = [
            _PROGRAM.unpack_from(self._bytes, head[5] + i * head[9]) for i in range(head[10])
        ]
        loads = [part for part in programs if part[0] == _PT_LOAD]
        if not loads:
            raise NotElf("nothing of it is loaded")
        self.first_address = loads[0][3] - loads[0][2]
        self._sections = [
            _Section(raw[0], raw[1], raw[3], raw[4], raw[5], raw[6])
            for raw in (
                _SECTION.unpack_from(self._bytes, head[6] + i * head[11]) for i in range(head[12])
            )
        ]
        self._names = self._sections[head[13]] if head[13] < len(self._sections) else None

    def section(self, name: str) -> int | None:
        """Return the address that the file names for a section; None if it has none."""
        if self._names is None:
            return None
        for one in self._sections:
            if self._string(self._names.offset + one.name) == name.encode():
                return one.address
        return None

    def symbols(self, wanted: set[str]) -> dict[str, int]:
        """Return the addresses that the file names for those of `wanted` that it defines."""
        found: dict[str, int] = {}
        names = {name.encode(): name for name in wanted}
        for kind in (_SHT_DYNSYM, _SHT_SYMTAB):  # a stripped file has the first only
            for table in self._sections:
                if table.kind == kind and len(found) < len(wanted):
                    self._look_through(table, names, found)
        return found

    def _look_through(
        self, table: _Section, names: dict[bytes, str], found: dict[str, int]
    ) -> None:
        strings = self._sections[table.link].offset
        end = min(table.offset + table.size, len(self._bytes))
        lengths = {len(name) for name in names}
        body = self._bytes[table.offset : end]
        body = body[: min(len(body) // _SYMBOL.size, _SYMBOLS_MOST) * _SYMBOL.size]
        for at, _, _, section, value, _ in _SYMBOL.iter_unpack(body):
            if not section or not value:
                continue
            for length in lengths:
                begin = strings + at
                name = names.get(self._bytes[begin : begin + length])
                if name is not None and self._bytes[begin + length] == 0:
                    found.setdefault(name, value)

    def _string(self, begin: int) -> bytes:
        return self._bytes[begin : self._bytes.find(b"\0", begin)]
