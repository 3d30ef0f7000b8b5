"""Models: fitting, predicting, searching for neighbours."""

from __future__ import annotations

import importlib
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case


def _random(*shape: int) -> Any:
    return importlib.import_module("numpy").random.default_rng(1).random(shape, dtype="f4")


def _labelled(rows: int, columns: int = 20) -> Any:
    points = _random(rows, columns)
    return points, (points[:, 0] + points[:, 1] > 1).astype("i4")


def _sklearn(module: str, name: str, **options: Any) -> Any:
    return getattr(importlib.import_module(f"sklearn.{module}"), name)(**options)


@case(
    "scikit-learn",
    "RandomForestClassifier().fit(X, y)",
    size="4,000 rows",
    set_up=lambda: _labelled(4_000),
    guess="releases",
    why="trees are grown without the GIL",
)
def forest_fit(data: Any) -> Any:
    return _sklearn("ensemble", "RandomForestClassifier", n_estimators=40).fit(*data)


@case(
    "scikit-learn",
    "LogisticRegression().fit(X, y)",
    size="110,000 rows",
    set_up=lambda: _labelled(110_000),
    guess="mixed",
    why="lbfgs calls Python code for each step, which calls BLAS",
)
def logistic_fit(data: Any) -> Any:
    return _sklearn("linear_model", "LogisticRegression").fit(*data)


@case(
    "xgboost",
    "xgboost.train(...)",
    size="60,000 rows",
    set_up=lambda: _labelled(60_000),
    guess="releases",
    why="called by ctypes, which lets go",
)
def xgboost_train(data: Any) -> Any:
    xgboost = importlib.import_module("xgboost")
    matrix = xgboost.DMatrix(data[0], label=data[1])
    return xgboost.train({"nthread": 1, "objective": "binary:logistic"}, matrix, 25)


@case(
    "lightgbm",
    "lightgbm.train(...)",
    size="30,000 rows",
    set_up=lambda: _labelled(30_000),
    guess="releases",
    why="called by ctypes, which lets go",
)
def lightgbm_train(data: Any) -> Any:
    lightgbm = importlib.import_module("lightgbm")
    options = {"num_threads": 1, "verbose": -1, "objective": "binary"}
    return lightgbm.train(options, lightgbm.Dataset(data[0], data[1]), 60)


@case(
    "catboost",
    "CatBoostClassifier().fit(X, y)",
    size="20,000 rows",
    set_up=lambda: _labelled(20_000),
    guess="releases",
    why="with nogil around TrainModel",
)
def catboost_fit(data: Any) -> Any:
    model = importlib.import_module("catboost").CatBoostClassifier
    options = {"thread_count": 1, "verbose": False, "allow_writing_files": False}
    return model(iterations=45, **options).fit(*data)


@case(
    "faiss-cpu",
    "IndexFlatL2.search(queries, 10)",
    size="1,000 in 60,000",
    set_up=lambda: _faiss(),
    guess="releases",
    why="SWIG's -threads",
)
def faiss_search(state: Any) -> Any:
    return state[0].search(state[1], 10)


def _faiss() -> Any:
    points = _random(60_000, 64)
    index = importlib.import_module("faiss").IndexFlatL2(64)
    index.add(points)
    return index, points[:1_000]


@case(
    "usearch",
    "Index.add(keys, points)",
    size="4,000 points",
    set_up=lambda: _random(4_000, 64),
    guess="releases",
    why="py::gil_scoped_release in its threads' loop",
)
def usearch_add(points: Any) -> Any:
    index = importlib.import_module("usearch.index").Index(ndim=64)
    index.add(importlib.import_module("numpy").arange(len(points)), points, threads=1)
    return index


@case(
    "annoy",
    "AnnoyIndex.build(10)",
    size="50,000 points",
    set_up=lambda: _annoy(),
    guess="releases",
    why="Py_BEGIN_ALLOW_THREADS around build (src/annoymodule.cc)",
)
def annoy_build(points: Any) -> Any:
    index = importlib.import_module("annoy").AnnoyIndex(32, "euclidean")
    for i, point in enumerate(points):
        index.add_item(i, point)
    index.build(10, 1)
    return index


def _annoy() -> Any:
    return _random(50_000, 32).tolist()


@case(
    "onnxruntime",
    "session.run(...)",
    size="a product of two matrices, 36 times",
    set_up=lambda: _onnx(),
    guess="releases",
    why="py::gil_scoped_release around Run",
)
def onnx_run(state: Any) -> Any:
    session, array = state
    return [session.run(None, {"x": array}) for _ in range(36)]


def _onnx() -> Any:
    onnx = importlib.import_module("onnx")
    numeric = onnx.TensorProto.FLOAT
    ends = [onnx.helper.make_tensor_value_info(name, numeric, [900, 900]) for name in "xy"]
    node = onnx.helper.make_node("MatMul", ["x", "x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    ort = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options), _random(900, 900)


@case(
    "jax",
    "jit(function)(a).block_until_ready()",
    size="800 by 800, 50 times",
    set_up=lambda: _jax(),
    guess="releases",
    why="block_until_ready() waits without the GIL",
)
def jax_run(state: Any) -> Any:
    function, array = state
    return [function(array).block_until_ready() for _ in range(50)]


def _jax() -> Any:
    jax = importlib.import_module("jax")
    return jax.jit(lambda a: a @ a @ a), jax.numpy.ones((800, 800))


@case(
    "implicit",
    "AlternatingLeastSquares().fit(matrix)",
    size="4,000 users",
    set_up=lambda: _ratings(),
    guess="releases",
    why="nogil loops of Cython",
)
def implicit_fit(ratings: Any) -> Any:
    als = importlib.import_module("implicit.als").AlternatingLeastSquares
    model = als(factors=32, iterations=4, num_threads=1)
    model.fit(ratings, show_progress=False)
    return model


def _ratings() -> Any:
    sparse = importlib.import_module("scipy.sparse")
    return sparse.random(4_000, 4_000, 0.01, format="csr", dtype="f4", random_state=1)
