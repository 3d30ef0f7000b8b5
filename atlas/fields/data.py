"""Tables and columns: data frames, queries, spreadsheets, Arrow."""

from __future__ import annotations

import importlib
import os
import tempfile
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case


def _columns(rows: int) -> dict[str, Any]:
    numpy = importlib.import_module("numpy")
    random = numpy.random.default_rng(1)
    return {
        "key": random.integers(0, 1_000, rows),
        "other": random.integers(0, rows, rows),
        "value": random.random(rows),
    }


def _words(rows: int) -> list[str]:
    return [f"word{i * 7_919 % 5_000}" for i in range(rows)]


def _pandas(rows: int) -> Any:
    return importlib.import_module("pandas").DataFrame(_columns(rows))


def _polars(rows: int) -> Any:
    polars = importlib.import_module("polars")
    return polars.DataFrame({**_columns(rows), "word": _words(rows)})


@case(
    "pandas",
    "df.groupby(key).sum()",
    size="5,000,000 rows",
    set_up=lambda: _pandas(5_000_000),
    guess="mixed",
    why="the sums are nogil loops of Cython; making the groups is not all so",
)
def pandas_groupby(frame: Any) -> Any:
    return frame.groupby("key").sum()


@case(
    "pandas",
    "df.groupby(key).apply(function)",
    size="1,000 groups",
    set_up=lambda: _pandas(400_000),
    guess="gives way",
    why="calls Python code for each group",
)
def pandas_groupby_apply(frame: Any) -> Any:
    return frame.groupby("key").apply(lambda group: group["value"].sum())


@case(
    "polars",
    "df.group_by(key).agg(...)",
    size="5,000,000 rows",
    set_up=lambda: _polars(5_000_000),
    guess="releases",
    why="its own threads do the work",
)
def polars_groupby(frame: Any) -> Any:
    polars = importlib.import_module("polars")
    return frame.group_by("key").agg(polars.col("value").sum())


@case(
    "pyarrow",
    "table.to_pylist()",
    size="200,000 rows",
    set_up=lambda: _arrow(200_000),
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
    size="20,000,000 numbers",
    guess="releases",
)
def datafusion_sum(_: None) -> Any:
    context = importlib.import_module("datafusion").SessionContext()
    return context.sql("select sum(sqrt(value)) from range(20000000)").collect()


@case(
    "xarray",
    "array.groupby(...).mean()",
    size="400,000 values in 200 groups",
    set_up=lambda: _xarray(),
    guess="gives way",
    why="Python code around small numpy calls",
)
def xarray_groupby(array: Any) -> Any:
    return array.groupby("key").mean()


def _xarray() -> Any:
    numpy = importlib.import_module("numpy")
    coords = {"key": ("x", numpy.arange(400_000) % 200)}
    return importlib.import_module("xarray").DataArray(numpy.ones(400_000), dims="x", coords=coords)


@case(
    "awkward",
    "ak.from_iter(lists)",
    size="300,000 lists",
    set_up=lambda: [[i] * 3 for i in range(300_000)],
    guess="keeps",
)
def awkward_from_iter(lists: Any) -> Any:
    return importlib.import_module("awkward").from_iter(lists)


@case(
    "boost-histogram",
    "histogram.fill(array)",
    size="30,000,000 numbers",
    set_up=lambda: importlib.import_module("numpy").random.default_rng(1).random(30_000_000),
    guess="releases",
)
def histogram_fill(array: Any) -> Any:
    hist = importlib.import_module("boost_histogram")
    return hist.Histogram(hist.axis.Regular(100, 0, 1)).fill(array)


@case(
    "bottleneck",
    "bn.move_median(array, 50)",
    size="2,000,000 numbers",
    set_up=lambda: importlib.import_module("numpy").random.default_rng(1).random(2_000_000),
    guess="releases",
    why="its loops are between BN_BEGIN_ALLOW_THREADS",
)
def bottleneck_move_median(array: Any) -> Any:
    return importlib.import_module("bottleneck").move_median(array, 50)


@case(
    "openpyxl",
    "load_workbook(path)",
    size="3,000 rows of 10",
    set_up=lambda: _xlsx(3_000),
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
)
def xlsxwriter_close(_: None) -> Any:
    return _xlsx(8_000)


@case(
    "python-calamine",
    "load_workbook(path).to_python()",
    size="15,000 rows of 10",
    set_up=lambda: _xlsx(15_000),
    guess="releases",
    why="py.detach() around the reading",
)
def calamine(path: str) -> Any:
    return (
        importlib.import_module("python_calamine")
        .load_workbook(path)
        .get_sheet_by_index(0)
        .to_python()
    )


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
    size="200,000 records",
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
    rows = ({"i": i, "s": f"text {i}"} for i in range(200_000))
    importlib.import_module("fastavro").writer(file, schema, rows)
    return file.getvalue()


@case(
    "dask",
    "dask.array sum by threads",
    size="20 chunks",
    guess="releases",
    why="numpy lets go in each chunk",
)
def dask_sum(_: None) -> Any:
    array = importlib.import_module("dask.array")
    return array.sqrt(array.ones((60_000_000,), chunks=3_000_000)).sum().compute()
