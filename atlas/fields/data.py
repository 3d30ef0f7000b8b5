"""Tables and columns: data frames, queries, spreadsheets, Arrow."""

from __future__ import annotations

import importlib
import os
import tempfile
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case


def _columns(rows: int, keys: int = 1_000) -> dict[str, Any]:
    numpy = importlib.import_module("numpy")
    random = numpy.random.default_rng(1)
    return {
        "key": random.integers(0, keys, rows),
        "other": random.integers(0, rows, rows),
        "value": random.random(rows),
    }


def _words(rows: int) -> list[str]:
    return [f"word{i * 7_919 % 5_000}" for i in range(rows)]


def _pandas(rows: int, keys: int = 1_000) -> Any:
    return importlib.import_module("pandas").DataFrame(_columns(rows, keys))


def _polars(rows: int) -> Any:
    return importlib.import_module("polars").DataFrame(_columns(rows))


@case(
    "pandas",
    "df.groupby(key).sum()",
    size="5,000,000 rows, 6 times",
    set_up=lambda: _pandas(5_000_000),
    guess="mixed",
    why="the sums are nogil loops of Cython; making the groups is not all so",
)
def pandas_groupby(frame: Any) -> Any:
    return [frame.groupby("key").sum() for _ in range(6)]


@case(
    "pandas",
    "df.groupby(key).apply(function)",
    size="10,000 groups",
    set_up=lambda: _pandas(400_000, 10_000),
    guess="gives way",
    why="calls Python code for each group",
)
def pandas_groupby_apply(frame: Any) -> Any:
    return frame.groupby("key").apply(lambda group: group["value"].sum())


@case(
    "polars",
    "df.group_by(key).agg(...)",
    size="10,000,000 rows, 3 times",
    set_up=lambda: _polars(10_000_000),
    guess="releases",
    why="its own threads do the work",
)
def polars_groupby(frame: Any) -> Any:
    polars = importlib.import_module("polars")
    return [frame.group_by("key").agg(polars.col("value").sum()) for _ in range(3)]


@case(
    "pyarrow",
    "table.to_pylist()",
    size="700,000 rows",
    set_up=lambda: _arrow(700_000),
    guess="gives way",
    why="a loop of Cython over scalars",
)
def arrow_to_pylist(table: Any) -> Any:
    return table.to_pylist()


def _arrow(rows: int) -> Any:
    return importlib.import_module("pyarrow").table({**_columns(rows), "word": _words(rows)})


@case(
    "datafusion",
    "SessionContext().sql(query).collect()",
    size="120,000,000 numbers",
    guess="releases",
    why="py.detach() while its own threads work (crates/util/src/lib.rs)",
)
def datafusion_sum(_: None) -> Any:
    context = importlib.import_module("datafusion").SessionContext()
    return context.sql("select sum(sqrt(value)) from range(120000000)").collect()


@case(
    "xarray",
    "array.groupby(...).mean()",
    size="400,000 values in 2,500 groups",
    set_up=lambda: _xarray(),
    guess="gives way",
    why="Python code around small numpy calls",
)
def xarray_groupby(array: Any) -> Any:
    return array.groupby("key").mean()


def _xarray() -> Any:
    numpy = importlib.import_module("numpy")
    coords = {"key": ("x", numpy.arange(400_000) % 2_500)}
    return importlib.import_module("xarray").DataArray(numpy.ones(400_000), dims="x", coords=coords)


@case(
    "awkward",
    "ak.from_iter(lists)",
    size="150,000 lists",
    set_up=lambda: [[i] * 3 for i in range(150_000)],
    guess="keeps",
    why="one loop in C++ (builder_fromiter, awkward_cpp's content.cpp), and Python around it",
)
def awkward_from_iter(lists: Any) -> Any:
    return importlib.import_module("awkward").from_iter(lists)


@case(
    "boost-histogram",
    "histogram.fill(array)",
    size="30,000,000 numbers, 7 times",
    set_up=lambda: importlib.import_module("numpy").random.default_rng(1).random(30_000_000),
    guess="releases",
    why="py::gil_scoped_release around the filling (include/bh_python/fill.hpp)",
)
def histogram_fill(array: Any) -> Any:
    hist = importlib.import_module("boost_histogram")
    made = hist.Histogram(hist.axis.Regular(100, 0, 1))
    for _i in range(7):
        made.fill(array)
    return made


@case(
    "bottleneck",
    "bn.move_median(array, 50)",
    size="7,000,000 numbers",
    set_up=lambda: importlib.import_module("numpy").random.default_rng(1).random(7_000_000),
    guess="releases",
    why="BN_BEGIN_ALLOW_THREADS around its loops (bottleneck/src/move_template.c)",
)
def bottleneck_move_median(array: Any) -> Any:
    return importlib.import_module("bottleneck").move_median(array, 50)


@case(
    "openpyxl",
    "load_workbook(path)",
    size="5,000 rows of 10",
    set_up=lambda: _xlsx(5_000),
    guess="gives way",
    why="written in Python",
)
def openpyxl_load(path: str) -> Any:
    return importlib.import_module("openpyxl").load_workbook(path)


@case(
    "XlsxWriter",
    "workbook.close()",
    size="8,000 rows of 10",
    guess="gives way",
    why="written in Python",
)
def xlsxwriter_close(_: None) -> Any:
    return _xlsx(8_000)


@case(
    "python-calamine",
    "load_workbook(path).to_python()",
    size="15,000 rows of 10, 5 times",
    set_up=lambda: _xlsx(15_000),
    guess="releases",
    why="py.detach() around the reading (src/types/workbook.rs)",
)
def calamine(path: str) -> Any:
    load = importlib.import_module("python_calamine").load_workbook
    return [load(path).get_sheet_by_index(0).to_python() for _ in range(5)]


def _xlsx(rows: int) -> str:
    path = os.path.join(tempfile.mkdtemp(prefix="atlas-"), "a.xlsx")
    workbook = importlib.import_module("xlsxwriter").Workbook(path)
    sheet = workbook.add_worksheet()
    for row in range(rows):
        sheet.write_row(row, 0, [row, "text", 3.14, True, f"t{row}"] * 2)
    workbook.close()
    return path


@case(
    "fastavro",
    "list(fastavro.reader(file))",
    size="420,000 records",
    set_up=lambda: _avro(),
    guess="keeps",
    why="Cython that calls no Python code for a record",
)
def fastavro_read(data: bytes) -> Any:
    import io

    return list(importlib.import_module("fastavro").reader(io.BytesIO(data)))


def _avro() -> bytes:
    import io

    file = io.BytesIO()
    fields = [{"name": "i", "type": "long"}, {"name": "s", "type": "string"}]
    schema = {"type": "record", "name": "r", "fields": fields}
    rows = ({"i": i, "s": f"text {i}"} for i in range(420_000))
    importlib.import_module("fastavro").writer(file, schema, rows)
    return file.getvalue()


@case(
    "dask",
    "dask.array sum by threads",
    size="120 chunks",
    guess="releases",
    why="numpy lets go in each chunk",
)
def dask_sum(_: None) -> Any:
    array = importlib.import_module("dask.array")
    return array.sqrt(array.ones((360_000_000,), chunks=3_000_000)).sum().compute()
