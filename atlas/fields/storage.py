"""Files of arrays, embedded databases, caches, objects written down."""

from __future__ import annotations

import importlib
import os
import tempfile
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case

_NOGIL = "nogil for the HDF5 call (h5py/api_functions.txt), under a lock for all threads"


def _random(*shape: int) -> Any:
    return importlib.import_module("numpy").random.default_rng(1).random(shape)


def _path(name: str) -> str:
    return os.path.join(tempfile.mkdtemp(prefix="atlas-"), name)


def _h5(**options: Any) -> str:
    path = _path("a.h5")
    with importlib.import_module("h5py").File(path, "w") as file:
        file.create_dataset("a", data=_random(2_000, 1_500), **options)
    return path


@case(
    "h5py",
    "dataset[...]",
    size="24 MB, gzip, 3 times",
    set_up=lambda: _h5(compression="gzip", compression_opts=1),
    guess="keeps",
    why=_NOGIL,
)
def h5py_read_gzip(path: str) -> Any:
    with importlib.import_module("h5py").File(path) as file:
        return [file["a"][...] for _ in range(3)]


@case(
    "h5py",
    "dataset[...]",
    size="24 MB, contiguous, 120 times",
    set_up=_h5,
    guess="keeps",
    why=_NOGIL,
)
def h5py_read(path: str) -> Any:
    with importlib.import_module("h5py").File(path) as file:
        for _i in range(120):
            array = file["a"][...]
        return array


@case(
    "h5py",
    "create_dataset(...)",
    size="16 MB, gzip",
    set_up=lambda: _random(2_000, 1_000),
    guess="keeps",
    why=_NOGIL,
)
def h5py_write(array: Any) -> None:
    with importlib.import_module("h5py").File(_path("a.h5"), "w") as file:
        file.create_dataset("a", data=array, compression="gzip", compression_opts=1)


@case(
    "tables",
    "carray.read()",
    size="24 MB, blosc, 20 times",
    set_up=lambda: _tables(),
    guess="keeps",
    why="with nogil around the reading (tables/hdf5extension.pyx)",
    one_thread=True,
)
def tables_read(path: str) -> Any:
    with importlib.import_module("tables").open_file(path) as file:
        for _i in range(20):
            array = file.root.a.read()
        return array


def _tables() -> str:
    tables = importlib.import_module("tables")
    path = _path("a.h5")
    with tables.open_file(path, "w") as file:
        file.create_carray("/", "a", obj=_random(2_000, 1_500), filters=tables.Filters(5, "blosc"))
    return path


def _lmdb() -> Any:
    base = importlib.import_module("lmdb").open(_path("a"), map_size=1 << 28)
    with base.begin(write=True) as transaction:
        for i in range(100_000):
            transaction.put(b"%08d" % i, b"x" * 100)
    return base


@case(
    "lmdb",
    "transaction.get(key)",
    size="600,000 times",
    set_up=_lmdb,
    guess="mixed",
    why="lets go around each mdb_get (lmdb/cpython.c)",
)
def lmdb_get(base: Any) -> None:
    with base.begin() as transaction:
        for i in range(600_000):
            transaction.get(b"%08d" % (i % 100_000))
