"""The standard library, where a file, a process, a digest or a database is behind the call."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from pathlib import Path
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case

_TEXT = b"The quick brown fox jumps over the lazy dog. "
_LETS_GO = "lets go around the C library's work"
_C_CALL = "one call of C code that never lets go"


def _text(size: int) -> bytes:
    words = [f"word{i}" for i in range(50_000)]
    return " ".join(random.Random(1).choices(words, k=size // 9)).encode()


def _compressed(block: bytes, times: int) -> bytes:
    # One stream of zlib's: the block ends where the next one needs nothing of it.
    import zlib

    press = zlib.compressobj(wbits=-15)
    piece = press.compress(block) + press.flush(zlib.Z_FULL_FLUSH)
    check = zlib.adler32(block * times).to_bytes(4, "big")
    return b"\x78\x9c" + piece * times + press.flush() + check


def _zeros(size: int) -> Path:
    path = _file(b"")
    os.truncate(path, size)
    return path


def _file(data: bytes, name: str = "file") -> Path:
    path = Path(tempfile.mkdtemp(prefix="atlas-")) / name
    path.write_bytes(data)
    return path


@case(
    "python",
    "zlib.compress(data)",
    size="12 MB",
    set_up=lambda: _text(12_000_000),
    guess="releases",
    why=_LETS_GO,
)
def zlib_compress(data: bytes) -> bytes:
    import zlib

    return zlib.compress(data)


@case(
    "python",
    "zlib.decompress(data)",
    size="to 120 MB",
    set_up=lambda: _compressed(_text(1_000_000), 120),
    guess="releases",
    why="lets go for each piece of its output, which it copies together with the GIL held",
)
def zlib_decompress(data: bytes) -> bytes:
    import zlib

    return zlib.decompress(data)


@case(
    "python",
    "zlib.crc32(data)",
    size="2 GB",
    set_up=lambda: bytes(2_000_000_000),
    guess="releases",
    why="above 5 KB; below it never does (Modules/zlibmodule.c)",
)
def crc32(data: bytes) -> int:
    import zlib

    return zlib.crc32(data)


@case(
    "python",
    "zlib.crc32(data)",
    size="5,000 bytes, 360,000 times",
    guess="gives way",
    why="below the 5 KB from which it lets go (Modules/zlibmodule.c)",
)
def crc32_small(_: None) -> None:
    import zlib

    data = bytes(5_000)
    for _i in range(360_000):
        zlib.crc32(data)


@case(
    "python",
    "binascii.crc32(data)",
    size="2 GB",
    set_up=lambda: bytes(2_000_000_000),
    guess="releases",
    why="above 5 KB, as zlib's does (Modules/binascii.c); 3.10 never does",
)
def binascii_crc32(data: bytes) -> int:
    import binascii

    return binascii.crc32(data)


@case(
    "python",
    "bz2.compress(data)",
    size="5 MB",
    set_up=lambda: _text(5_000_000),
    guess="releases",
    why=_LETS_GO,
)
def bz2_compress(data: bytes) -> bytes:
    import bz2

    return bz2.compress(data)


@case(
    "python",
    "lzma.compress(data, preset=1)",
    size="3 MB",
    set_up=lambda: _text(3_000_000),
    guess="releases",
    why=_LETS_GO,
)
def lzma_compress(data: bytes) -> bytes:
    import lzma

    return lzma.compress(data, preset=1)


@case(
    "python",
    "gzip.open(path).read()",
    size="to 100 MB",
    set_up=lambda: _file(__import__("gzip").compress(_text(10_000_000), 1) * 10),
    guess="releases",
    why="zlib lets go for each piece; the loop is Python (_GzipReader.read in Lib/gzip.py)",
)
def gzip_read(path: Path) -> bytes:
    import gzip

    with gzip.open(path) as file:
        return file.read()


@case(
    "python",
    "for line in gzip.open(path)",
    size="1,800,000 lines",
    set_up=lambda: _file(__import__("gzip").compress((_TEXT + b"\n") * 1_800_000, 1)),
    guess="gives way",
    why="most lines are in a buffer; zlib lets go when it is empty (GzipFile in Lib/gzip.py)",
)
def gzip_lines(path: Path) -> int:
    import gzip

    with gzip.open(path) as file:
        return sum(1 for _ in file)


@case(
    "python",
    "hashlib.sha256(data)",
    size="600 MB",
    set_up=lambda: bytes(600_000_000),
    guess="releases",
    why="OpenSSL's, for inputs above 2,047 bytes",
)
def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@case(
    "python",
    "hashlib.sha256(data)",
    size="2,000 bytes, 240,000 times",
    guess="gives way",
    why="below 2,048 bytes it does not let go (HASHLIB_GIL_MINSIZE in Modules/hashlib.h)",
)
def sha256_small(_: None) -> None:
    data = bytes(2_000)
    for _i in range(240_000):
        hashlib.sha256(data).digest()


@case(
    "python",
    "hashlib.sha256(data)",
    size="4,000 bytes, 140,000 times",
    guess="releases",
    why="lets go once a digest, above 2,047 bytes (HASHLIB_GIL_MINSIZE in Modules/hashlib.h)",
)
def sha256_middle(_: None) -> None:
    data = bytes(4_000)
    for _i in range(140_000):
        hashlib.sha256(data).digest()


@case(
    "python",
    "hashlib.blake2b(data)",
    size="450 MB",
    set_up=lambda: bytes(450_000_000),
    guess="releases",
    why="lets go for 2,048 bytes and more (Modules/_blake2/blake2b_impl.c)",
)
def blake2b(data: bytes) -> bytes:
    return hashlib.blake2b(data).digest()


@case(
    "python",
    "hashlib.file_digest(file)",
    size="500 MB",
    set_up=lambda: _zeros(500_000_000),
    guess="releases",
    why="3.10 has none: there the file is read whole, and then digested",
)
def file_digest(path: Path) -> Any:
    if not hasattr(hashlib, "file_digest"):
        with path.open("rb") as file:
            return hashlib.sha256(file.read()).digest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@case(
    "python",
    "hashlib.pbkdf2_hmac('sha256', ...)",
    size="2,400,000 rounds",
    guess="releases",
    why=_LETS_GO,
)
def pbkdf2(_: None) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 2_400_000)


@case("python", "hashlib.scrypt(...)", size="n = 2 ** 16", guess="releases", why=_LETS_GO)
def scrypt(_: None) -> bytes:
    return hashlib.scrypt(b"password", salt=b"salt", n=2**16, r=8, p=3, maxmem=2**27)


@case(
    "python",
    "base64.b64encode(data)",
    size="380 MB",
    set_up=lambda: bytes(380_000_000),
    guess="keeps",
    why=_C_CALL,
)
def b64encode(data: bytes) -> bytes:
    import base64

    return base64.b64encode(data)


def _rows(doublings: int) -> Any:
    import sqlite3

    base = sqlite3.connect(":memory:", check_same_thread=False)
    base.execute("create table t (i integer, s text)")
    base.executemany("insert into t values (?, ?)", ((i % 1000, f"{i}") for i in range(250_000)))
    for _ in range(doublings):
        base.execute("insert into t select * from t")
    return base


@case(
    "python",
    "sqlite3: select ... group by",
    size="2,000,000 rows, 10 of them come back",
    set_up=lambda: _rows(3),
    guess="releases",
    why="lets go around sqlite3_step(): once for each row that comes back",
)
def sqlite_group(base: Any) -> Any:
    query = "select i % 10, count(*), max(s) from t group by i % 10"
    return base.execute(query).fetchall()


@case(
    "python",
    "sqlite3: select *, fetchall()",
    size="1,000,000 rows come back",
    set_up=lambda: _rows(2),
    guess="mixed",
    why="lets go around sqlite3_step(): once for each row that comes back",
)
def sqlite_all(base: Any) -> Any:
    return base.execute("select * from t").fetchall()
