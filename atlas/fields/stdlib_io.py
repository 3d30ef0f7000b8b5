"""The standard library, where a file, a process, a digest or a database is behind the call."""

from __future__ import annotations

import hashlib
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
    words = [f"word{random.randrange(50_000)}" for _ in range(size // 9)]
    return " ".join(words).encode()


def _file(data: bytes, name: str = "file") -> Path:
    path = Path(tempfile.mkdtemp(prefix="atlas-")) / name
    path.write_bytes(data)
    return path


@case(
    "python",
    "zlib.compress(data)",
    size="8 MB",
    set_up=lambda: _text(8_000_000),
    guess="releases",
    why=_LETS_GO,
)
def zlib_compress(data: bytes) -> bytes:
    import zlib

    return zlib.compress(data)


@case(
    "python",
    "zlib.decompress(data)",
    size="to 60 MB",
    set_up=lambda: __import__("zlib").compress(_text(1_000_000) * 60),
    guess="releases",
    why="lets go for each piece of its output, which it copies together with the GIL held",
)
def zlib_decompress(data: bytes) -> bytes:
    import zlib

    return zlib.decompress(data)


@case(
    "python",
    "zlib.crc32(data)",
    size="300 MB",
    set_up=lambda: bytes(300_000_000),
    guess="releases",
    why="above 5 KB; below it never does (Modules/zlibmodule.c)",
)
def crc32(data: bytes) -> int:
    import zlib

    return zlib.crc32(data)


@case("python", "zlib.crc32(data)", size="5,000 bytes, 80,000 times", guess="gives way")
def crc32_small(_: None) -> None:
    import zlib

    data = bytes(5_000)
    for _i in range(80_000):
        zlib.crc32(data)


@case(
    "python",
    "binascii.crc32(data)",
    size="300 MB",
    set_up=lambda: bytes(300_000_000),
    guess="releases",
)
def binascii_crc32(data: bytes) -> int:
    import binascii

    return binascii.crc32(data)


@case(
    "python",
    "bz2.compress(data)",
    size="3 MB",
    set_up=lambda: _text(3_000_000),
    guess="releases",
    why=_LETS_GO,
)
def bz2_compress(data: bytes) -> bytes:
    import bz2

    return bz2.compress(data)


@case(
    "python",
    "lzma.compress(data, preset=1)",
    size="1 MB",
    set_up=lambda: _text(1_000_000),
    guess="releases",
    why=_LETS_GO,
)
def lzma_compress(data: bytes) -> bytes:
    import lzma

    return lzma.compress(data, preset=1)


@case(
    "python",
    "gzip.open(path).read()",
    size="to 50 MB",
    set_up=lambda: _file(__import__("gzip").compress(_text(1_000_000) * 50, 1)),
    guess="releases",
)
def gzip_read(path: Path) -> bytes:
    import gzip

    with gzip.open(path) as file:
        return file.read()


@case(
    "python",
    "for line in gzip.open(path)",
    size="250,000 lines",
    set_up=lambda: _file(__import__("gzip").compress((_TEXT + b"\n") * 250_000, 1)),
    guess="gives way",
)
def gzip_lines(path: Path) -> int:
    import gzip

    with gzip.open(path) as file:
        return sum(1 for _ in file)


@case(
    "python",
    "hashlib.sha256(data)",
    size="200 MB",
    set_up=lambda: bytes(200_000_000),
    guess="releases",
    why="OpenSSL's, for inputs above 2,047 bytes",
)
def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@case("python", "hashlib.sha256(data)", size="2,000 bytes, 80,000 times", guess="gives way")
def sha256_small(_: None) -> None:
    data = bytes(2_000)
    for _i in range(80_000):
        hashlib.sha256(data).digest()


@case("python", "hashlib.sha256(data)", size="4,000 bytes, 50,000 times", guess="releases")
def sha256_middle(_: None) -> None:
    data = bytes(4_000)
    for _i in range(50_000):
        hashlib.sha256(data).digest()


@case(
    "python",
    "hashlib.blake2b(data)",
    size="150 MB",
    set_up=lambda: bytes(150_000_000),
    guess="releases",
)
def blake2b(data: bytes) -> bytes:
    return hashlib.blake2b(data).digest()


@case(
    "python",
    "hashlib.file_digest(file)",
    size="200 MB",
    set_up=lambda: _file(bytes(200_000_000)),
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
    size="500,000 rounds",
    guess="releases",
    why=_LETS_GO,
)
def pbkdf2(_: None) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 500_000)


@case("python", "hashlib.scrypt(...)", size="n = 2 ** 14", guess="releases", why=_LETS_GO)
def scrypt(_: None) -> bytes:
    return hashlib.scrypt(b"password", salt=b"salt", n=2**14, r=8, p=4, maxmem=2**27)


@case(
    "python",
    "base64.b64encode(data)",
    size="150 MB",
    set_up=lambda: bytes(150_000_000),
    guess="keeps",
    why=_C_CALL,
)
def b64encode(data: bytes) -> bytes:
    import base64

    return base64.b64encode(data)


def _rows() -> Any:
    import sqlite3

    base = sqlite3.connect(":memory:", check_same_thread=False)
    base.execute("create table t (i integer, s text)")
    base.executemany("insert into t values (?, ?)", ((i % 1000, f"{i}") for i in range(400_000)))
    return base


@case(
    "python",
    "sqlite3: select ... group by",
    size="400,000 rows, 10 of them come back",
    set_up=_rows,
    guess="releases",
    why="lets go around sqlite3_step(): once for each row that comes back",
)
def sqlite_group(base: Any) -> Any:
    query = "select i % 10, count(*), max(s) from t group by i % 10"
    return base.execute(query).fetchall()


@case(
    "python",
    "sqlite3: select *, fetchall()",
    size="400,000 rows come back",
    set_up=_rows,
    guess="mixed",
    why="lets go around sqlite3_step(): once for each row that comes back",
)
def sqlite_all(base: Any) -> Any:
    return base.execute("select * from t").fetchall()
