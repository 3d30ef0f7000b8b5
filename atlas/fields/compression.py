"""Compressors beside those of the standard library."""

from __future__ import annotations

import importlib
import random
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case


def _text(size: int) -> bytes:
    random.seed(1)
    block = " ".join(f"word{random.randrange(50_000)}" for _ in range(60_000)).encode()
    return (block * (size // len(block) + 1))[:size]


def _words(size: int) -> bytes:
    # For those that remember more than a block of _text().
    words = [f"word{i}" for i in range(50_000)]
    return " ".join(random.Random(1).choices(words, k=size // 9)).encode()


def _with(module: str, made: Any) -> Any:
    return importlib.import_module(module), made


@case(
    "zstandard",
    "ZstdCompressor().compress(data)",
    size="14 MB",
    set_up=lambda: _with("zstandard", _words(14_000_000)),
    guess="releases",
    why="lets go around the library's work (c-ext/compressor.c)",
)
def zstandard_compress(state: Any) -> Any:
    return state[0].ZstdCompressor(level=9).compress(state[1])


@case(
    "lz4",
    "lz4.frame.compress(data)",
    size="180 MB",
    set_up=lambda: _with("lz4.frame", _text(180_000_000)),
    guess="releases",
    why="lets go around the library's work, and then copies its result (lz4/frame/_frame.c)",
)
def lz4_compress(state: Any) -> Any:
    return state[0].compress(state[1])


@case(
    "Brotli",
    "brotli.compress(data, quality=6)",
    size="8 MB",
    set_up=lambda: _with("brotli", _words(8_000_000)),
    guess="releases",
    why="lets go around the library's work (python/_brotli.c)",
)
def brotli_compress(state: Any) -> Any:
    return state[0].compress(state[1], quality=6)


@case(
    "cramjam",
    "cramjam.snappy.compress(data)",
    size="150 MB",
    set_up=lambda: _with("cramjam", _text(150_000_000)),
    guess="releases",
    why="py.detach() around the whole (generic! in src/lib.rs)",
)
def cramjam_snappy(state: Any) -> Any:
    return state[0].snappy.compress(state[1])


@case(
    "zlib-ng",
    "zlib_ng.compress(data)",
    size="20 MB",
    set_up=lambda: _with("zlib_ng.zlib_ng", _text(20_000_000)),
    guess="releases",
    why="lets go around the library's work (src/zlib_ng/zlib_ngmodule.c)",
)
def zlib_ng_compress(state: Any) -> Any:
    return state[0].compress(state[1])


@case(
    "isal",
    "isal_zlib.compress(data)",
    size="130 MB",
    set_up=lambda: _with("isal.isal_zlib", _text(130_000_000)),
    guess="releases",
    why="lets go around the library's work (src/isal/isal_zlibmodule.c)",
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
    size="300 MB",
    set_up=lambda: _with("numcodecs", _text(300_000_000)),
    guess="releases",
    why="with nogil around blosc_compress_ctx (src/numcodecs/blosc.pyx)",
)
def numcodecs_blosc(state: Any) -> Any:
    return state[0].Blosc(cname="lz4", clevel=5).encode(state[1])
