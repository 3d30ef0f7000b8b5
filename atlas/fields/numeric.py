"""Arrays, linear algebra, solvers, symbols and graphs."""

from __future__ import annotations

import importlib
import random
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case


def _random(*shape: int) -> Any:
    return importlib.import_module("numpy").random.default_rng(1).random(shape)


def _with(module: str, made: Any = None) -> Any:
    return importlib.import_module(module), made


@case(
    "numpy",
    "a @ b",
    size="1,000 by 1,000, 10 times",
    set_up=lambda: _random(1_000, 1_000),
    guess="releases",
    why="lets go around BLAS",
)
def matmul(array: Any) -> Any:
    return [array @ array for _ in range(10)]


@case(
    "numpy",
    "a @ b",
    size="750 by 750 ints",
    set_up=lambda: _with(
        "numpy", importlib.import_module("numpy").arange(562_500).reshape(750, 750)
    ),
    guess="releases",
    why="no BLAS for ints, a loop that lets go all the same",
)
def matmul_ints(state: Any) -> Any:
    return state[1] @ state[1]


@case(
    "numpy",
    "a + b",
    size="100 float64, 1,000,000 times",
    set_up=lambda: _random(100),
    guess="gives way",
    why="up to 500 numbers it does not let go (NPY_BEGIN_THREADS_THRESHOLDED, ndarraytypes.h)",
)
def add_small(array: Any) -> None:
    for _i in range(1_000_000):
        array + array


@case(
    "numpy",
    "a + b",
    size="1,000 float64, 550,000 times",
    set_up=lambda: _random(1_000),
    guess="mixed",
    why="above 500 numbers it lets go, each time",
)
def add_middle(array: Any) -> None:
    for _i in range(550_000):
        array + array


@case(
    "numpy",
    "a + b",
    size="8,500,000 objects",
    set_up=lambda: _random(8_500_000).astype(object),
    guess="keeps",
    why="adds Python objects",
)
def add_objects(array: Any) -> Any:
    return array + array


@case(
    "numpy",
    "np.sort(a)",
    size="20,000,000 float64, 2 times",
    set_up=lambda: _random(20_000_000),
    guess="releases",
    why="between NPY_BEGIN_THREADS and NPY_END_THREADS (_new_sortlike, item_selection.c)",
)
def sort(array: Any) -> Any:
    return [importlib.import_module("numpy").sort(array) for _ in range(2)]


@case(
    "numpy",
    "np.sort(a)",
    size="1,000,000 StringDType",
    set_up=lambda: _strings(),
    guess="keeps",
    why="its strings are no Python objects: the sort needs no API (stringdtype/dtype.c)",
)
def sort_strings(array: Any) -> Any:
    return importlib.import_module("numpy").sort(array)


def _strings() -> Any:
    numpy = importlib.import_module("numpy")
    words = [f"word{i * 7_919 % 1_000_000}" for i in range(1_000_000)]
    return numpy.array(words, dtype=numpy.dtypes.StringDType())


@case(
    "scipy",
    "scipy.fft.fft(a)",
    size="4,000,000 numbers, 3 times",
    set_up=lambda: _random(4_194_304),
    guess="releases",
    why="pypocketfft lets go",
)
def scipy_fft(array: Any) -> Any:
    return [importlib.import_module("scipy.fft").fft(array) for _ in range(3)]


def _jit(**options: bool) -> Any:
    numba = importlib.import_module("numba")

    @numba.njit(**options)
    def total(n: int) -> float:
        found = 0.0
        for i in range(n):
            found += (i % 7) ** 0.5
        return found

    total(1)
    return total


@case(
    "numba",
    "@njit",
    size="a loop",
    set_up=lambda: _jit(),
    guess="keeps",
    why="documented: it lets go only with nogil=True",
)
def njit(function: Any) -> Any:
    return function(150_000_000)


@case(
    "numexpr",
    "numexpr.evaluate('a * 2 + a ** 2')",
    size="20,000,000 numbers, 12 times",
    set_up=lambda: _random(20_000_000),
    guess="releases",
    why="lets go while its threads work (numexpr/interpreter.cpp)",
)
def numexpr_evaluate(array: Any) -> Any:
    evaluate = importlib.import_module("numexpr").evaluate
    for _i in range(12):
        made = evaluate("a * 2 + a ** 2", {"a": array})
    return made


@case(
    "networkx",
    "nx.pagerank(graph)",
    size="25,000 nodes",
    set_up=lambda: _networkx(),
    guess="mixed",
    why="Python code makes a sparse matrix of the graph",
)
def networkx_pagerank(graph: Any) -> Any:
    return importlib.import_module("networkx").pagerank(graph)


def _networkx() -> Any:
    return importlib.import_module("networkx").gnm_random_graph(25_000, 250_000, seed=1)


@case(
    "igraph",
    "graph.betweenness()",
    size="2,000 nodes",
    set_up=lambda: _igraph(),
    guess="keeps",
    why="one call: nothing in its sources lets go (src/_igraph/graphobject.c)",
)
def igraph_betweenness(graph: Any) -> Any:
    return graph.betweenness()


def _igraph() -> Any:
    random.seed(1)  # which igraph takes its numbers from
    return importlib.import_module("igraph").Graph.Erdos_Renyi(2_000, m=10_000)


@case(
    "rustworkx",
    "betweenness_centrality(graph)",
    size="2,400 nodes",
    set_up=lambda: importlib.import_module("rustworkx").undirected_gnm_random_graph(
        2_400, 12_000, 1
    ),
    guess="keeps",
    why="its threads work while the GIL is kept: nothing detaches (src/centrality.rs)",
)
def rustworkx_betweenness(graph: Any) -> Any:
    return importlib.import_module("rustworkx").betweenness_centrality(graph)


@case(
    "pyFFTW",
    "pyfftw.builders.fft(a)()",
    size="4,000,000 numbers, 4 times",
    set_up=lambda: _fftw(),
    guess="releases",
    why="with nogil around fftw_execute (pyfftw/pyfftw.pyx)",
)
def pyfftw_fft(transform: Any) -> Any:
    return [transform() for _ in range(4)]


def _fftw() -> Any:
    build = importlib.import_module("pyfftw.builders").fft
    return build(_random(4_194_304), threads=1, planner_effort="FFTW_ESTIMATE")


@case(
    "highspy",
    "Highs.run()",
    size="400 variables, 300 rows",
    set_up=lambda: _random(300, 400),
    guess="releases",
    why="py::gil_scoped_release around Highs::run (highspy/highs_bindings.cpp)",
)
def highs_run(array: Any) -> Any:
    highspy = importlib.import_module("highspy")
    model = highspy.Highs()
    model.silent()
    x = model.addVariables(400, lb=0)
    for row in array:
        model.addConstr(
            sum(
                float(a) * v
                for a, v in zip(row, x.values() if hasattr(x, "values") else x, strict=True)
            )
            <= 50
        )
    model.maximize(sum(x.values() if hasattr(x, "values") else x))
    return model.getInfo().objective_function_value


@case(
    "z3-solver",
    "Solver().check()",
    size="a product of 2 primes, 4 times",
    set_up=lambda: _with("z3"),
    guess="releases",
    why="called by ctypes, which lets go",
)
def z3_check(state: Any) -> Any:
    return [_z3_factors(state[0]) for _ in range(4)]


def _z3_factors(z3: Any) -> Any:
    context = z3.Context()
    a, b = z3.BitVecs("a b", 48, context)
    solver = z3.Solver(ctx=context)
    solver.add(
        a * b == 4_099 * 4_111, z3.UGT(a, 1), z3.UGT(b, 1), z3.ULT(a, 1 << 16), z3.ULT(b, 1 << 16)
    )
    return solver.check()
