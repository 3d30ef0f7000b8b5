"""Compressors beside those of the standard library."""

from __future__ import annotations

import importlib
import os
import random
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case

_LETS_GO = "lets go around the library's work"


def _text(size: int) -> bytes:
    random.seed(1)
    block = " ".join(f"word{random.randrange(50_000)}" for _ in range(60_000)).encode()
    return (block * (size // len(block) + 1))[:size]


def _with(module: str, made: Any) -> Any:
    return importlib.import_module(module), made


@case(
    "zstandard",
    "ZstdCompressor().compress(data)",
    size="60 MB",
    set_up=lambda: _with("zstandard", os.urandom(60_000) * 1_000),
    guess="releases",
    why=_LETS_GO,
)
def zstandard_compress(state: Any) -> Any:
    return state[0].ZstdCompressor(level=9).compress(state[1])


@case(
    "lz4",
    "lz4.frame.compress(data)",
    size="120 MB",
    set_up=lambda: _with("lz4.frame", _text(120_000_000)),
    guess="releases",
    why="lets go around the library's work, and then copies its result",
)
def lz4_compress(state: Any) -> Any:
    return state[0].compress(state[1])


@case(
    "Brotli",
    "brotli.compress(data, quality=6)",
    size="10 MB",
    set_up=lambda: _with("brotli", _text(10_000_000)),
    guess="releases",
    why=_LETS_GO,
)
def brotli_compress(state: Any) -> Any:
    return state[0].compress(state[1], quality=6)


@case(
    "cramjam",
    "cramjam.snappy.compress(data)",
    size="150 MB",
    set_up=lambda: _with("cramjam", _text(150_000_000)),
    guess="releases",
)
def cramjam_snappy(state: Any) -> Any:
    return state[0].snappy.compress(state[1])


@case(
    "zlib-ng",
    "zlib_ng.compress(data)",
    size="20 MB",
    set_up=lambda: _with("zlib_ng.zlib_ng", _text(20_000_000)),
    guess="releases",
    why=_LETS_GO,
)
def zlib_ng_compress(state: Any) -> Any:
    return state[0].compress(state[1])


@case(
    "isal",
    "isal_zlib.compress(data)",
    size="60 MB",
    set_up=lambda: _with("isal.isal_zlib", _text(60_000_000)),
    guess="releases",
    why=_LETS_GO,
)
def isal_compress(state: Any) -> Any:
    return state[0].compress(state[1])


@case(
    "py7zr",
    "SevenZipFile(...).writestr(data)",
    size="1 MB",
    set_up=lambda: _with("py7zr", _text(1_000_000)),
    guess="releases",
    why="the lzma of the standard library does the work, and lets go",
)
def py7zr_write(state: Any) -> None:
    import io

    with state[0].SevenZipFile(io.BytesIO(), "w") as archive:
        archive.writestr(state[1], "a")


@case(
    "numcodecs",
    "Blosc().encode(array)",
    size="200 MB",
    set_up=lambda: _with("numcodecs", _text(200_000_000)),
    guess="releases",
    why="lets go around blosc_compress_ctx",
)
def numcodecs_blosc(state: Any) -> Any:
    return state[0].Blosc(cname="lz4", clevel=5).encode(state[1])
