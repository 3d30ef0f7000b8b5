"""Shapes, coordinates, rasters, spatial indexes."""

from __future__ import annotations

import importlib
import os
import tempfile
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case

_UFUNC = "a ufunc of its own that lets go around GEOS"


def _random(*shape: int) -> Any:
    return importlib.import_module("numpy").random.default_rng(1).random(shape)


def _points(count: int) -> Any:
    return importlib.import_module("shapely").points(_random(count, 2))


def _path(name: str) -> str:
    return os.path.join(tempfile.mkdtemp(prefix="atlas-"), name)


@case(
    "shapely",
    "shapely.points(array)",
    size="2,500,000 points",
    set_up=lambda: _random(2_500_000, 2),
    guess="mixed",
    why="points are made without the GIL, and their objects with it",
)
def shapely_points(array: Any) -> Any:
    return importlib.import_module("shapely").points(array)


@case(
    "shapely",
    "shapely.buffer(points, 0.1)",
    size="45,000 points",
    set_up=lambda: _points(45_000),
    guess="releases",
    why=_UFUNC,
)
def shapely_buffer(points: Any) -> Any:
    return importlib.import_module("shapely").buffer(points, 0.1)


@case(
    "shapely",
    "union_all(polygons)",
    size="4,000 circles",
    set_up=lambda: importlib.import_module("shapely").buffer(_points(4_000), 0.005),
    guess="releases",
    why=_UFUNC,
)
def shapely_union(polygons: Any) -> Any:
    return importlib.import_module("shapely").union_all(polygons)


@case(
    "shapely",
    "STRtree.query(polygons)",
    size="60,000 circles, 60,000 points",
    set_up=lambda: _strtree(),
    guess="keeps",
    why="lets go around the search (GEOS_INIT_THREADS in src/shapely/lib/strtree.c)",
)
def shapely_strtree(state: Any) -> Any:
    return state[0].query(state[1], predicate="intersects")


def _strtree() -> Any:
    shapely = importlib.import_module("shapely")
    points = _points(60_000)
    return shapely.STRtree(points), shapely.buffer(points, 0.005)


@case(
    "pyproj",
    "Transformer.transform(x, y)",
    size="4,500,000 points",
    set_up=lambda: _transformer(),
    guess="releases",
    why="with nogil around proj_trans_generic (pyproj/_transformer.pyx)",
)
def pyproj_transform(state: Any) -> Any:
    return state[0].transform(state[1], state[1])


def _transformer() -> Any:
    made = importlib.import_module("pyproj").Transformer.from_crs(4326, 3857)
    return made, _random(4_500_000) * 60


def _gpkg(rows: int) -> str:
    path = _path("a.gpkg")
    importlib.import_module("geopandas").GeoDataFrame(
        {"v": _random(rows)}, geometry=_points(rows), crs=4326
    ).to_file(path, SPATIAL_INDEX="NO")  # which takes longer than the reading
    return path


@case(
    "pyogrio",
    "read_dataframe(path)",
    size="300,000 points",
    set_up=lambda: _gpkg(300_000),
    guess="keeps",
    why="no nogil in the loop over the features, on purpose (pyogrio/_io.pyx)",
)
def pyogrio_read(path: str) -> Any:
    return importlib.import_module("pyogrio").read_dataframe(path)


@case(
    "geopandas",
    "frame.sjoin(other)",
    size="1,100,000 points in 300 circles",
    set_up=lambda: _frames(),
    guess="mixed",
    why="shapely's tree and pandas' join",
)
def geopandas_sjoin(state: Any) -> Any:
    return state[0].sjoin(state[1])


def _frames() -> Any:
    geopandas = importlib.import_module("geopandas")
    shapely = importlib.import_module("shapely")
    points = geopandas.GeoDataFrame(geometry=_points(1_100_000))
    return points, geopandas.GeoDataFrame(geometry=shapely.buffer(_points(300), 0.02))


@case(
    "h3",
    "latlng_to_cell(...), one by one",
    size="500,000 times",
    guess="gives way",
    why="too short for letting go",
)
def h3_cells(_: None) -> Any:
    cell = importlib.import_module("h3").latlng_to_cell
    return [cell(i / 10_000, i / 20_000, 9) for i in range(500_000)]
