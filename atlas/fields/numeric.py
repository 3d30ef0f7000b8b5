"""Arrays, linear algebra, solvers, symbols and graphs."""

from __future__ import annotations

import importlib
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case

_C_CALL = "one call of compiled code that never lets go"
_NUMPY = "a loop over native numbers: between NPY_BEGIN_THREADS and NPY_END_THREADS"


def _random(*shape: int) -> Any:
    return importlib.import_module("numpy").random.default_rng(1).random(shape)


def _with(module: str, made: Any = None) -> Any:
    return importlib.import_module(module), made


@case(
    "numpy",
    "a @ b",
    size="1,000 by 1,000, 3 times",
    set_up=lambda: _random(1_000, 1_000),
    guess="releases",
    why="lets go around BLAS",
)
def matmul(array: Any) -> Any:
    return [array @ array for _ in range(3)]


@case(
    "numpy",
    "a @ b",
    size="500 by 500 ints",
    set_up=lambda: _with(
        "numpy", importlib.import_module("numpy").arange(250_000).reshape(500, 500)
    ),
    guess="releases",
    why="no BLAS for ints, a loop that lets go all the same",
)
def matmul_ints(state: Any) -> Any:
    return state[1] @ state[1]


@case(
    "numpy",
    "a + b",
    size="100 float64, 300,000 times",
    set_up=lambda: _random(100),
    guess="gives way",
    why="below 500 numbers it does not let go: that would cost more",
)
def add_small(array: Any) -> None:
    for _i in range(300_000):
        array + array


@case(
    "numpy",
    "a + b",
    size="1,000 float64, 200,000 times",
    set_up=lambda: _random(1_000),
    guess="mixed",
    why="above 500 numbers it lets go, each time",
)
def add_middle(array: Any) -> None:
    for _i in range(200_000):
        array + array


@case(
    "numpy",
    "a + b",
    size="4,000,000 objects",
    set_up=lambda: _random(4_000_000).astype(object),
    guess="keeps",
    why="adds Python objects",
)
def add_objects(array: Any) -> Any:
    return array + array


@case(
    "numpy",
    "np.sort(a)",
    size="6,000,000 float64",
    set_up=lambda: _random(6_000_000),
    guess="releases",
    why=_NUMPY,
)
def sort(array: Any) -> Any:
    return importlib.import_module("numpy").sort(array)


@case("numpy", "np.sort(a)", size="150,000 StringDType", set_up=lambda: _strings(), guess="keeps")
def sort_strings(array: Any) -> Any:
    return importlib.import_module("numpy").sort(array)


def _strings() -> Any:
    numpy = importlib.import_module("numpy")
    words = [f"word{i * 7_919 % 150_000}" for i in range(150_000)]
    return numpy.array(words, dtype=numpy.dtypes.StringDType())


@case(
    "scipy",
    "scipy.fft.fft(a)",
    size="4,000,000 numbers",
    set_up=lambda: _random(4_194_304),
    guess="releases",
    why="pypocketfft lets go",
)
def scipy_fft(array: Any) -> Any:
    return importlib.import_module("scipy.fft").fft(array)


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
    size="20,000,000 numbers",
    set_up=lambda: _random(20_000_000),
    guess="releases",
)
def numexpr_evaluate(array: Any) -> Any:
    return importlib.import_module("numexpr").evaluate("a * 2 + a ** 2", {"a": array})


@case(
    "networkx",
    "nx.pagerank(graph)",
    size="5,000 nodes",
    set_up=lambda: _networkx(),
    guess="mixed",
    why="Python code makes a sparse matrix of the graph",
)
def networkx_pagerank(graph: Any) -> Any:
    return importlib.import_module("networkx").pagerank(graph)


def _networkx() -> Any:
    return importlib.import_module("networkx").gnm_random_graph(5_000, 50_000, seed=1)


@case(
    "igraph",
    "graph.betweenness()",
    size="1,200 nodes",
    set_up=lambda: importlib.import_module("igraph").Graph.Erdos_Renyi(1_200, m=6_000),
    guess="keeps",
    why=_C_CALL,
)
def igraph_betweenness(graph: Any) -> Any:
    return graph.betweenness()


@case(
    "rustworkx",
    "betweenness_centrality(graph)",
    size="1,500 nodes",
    set_up=lambda: importlib.import_module("rustworkx").undirected_gnm_random_graph(1_500, 7_500),
    guess="keeps",
    why="its threads have no use of Python, but the GIL is kept meanwhile",
)
def rustworkx_betweenness(graph: Any) -> Any:
    return importlib.import_module("rustworkx").betweenness_centrality(graph)


@case(
    "pyFFTW",
    "pyfftw.builders.fft(a)()",
    size="4,000,000 numbers",
    set_up=lambda: _fftw(),
    guess="releases",
    why="with nogil around fftw_execute",
)
def pyfftw_fft(transform: Any) -> Any:
    return transform()


def _fftw() -> Any:
    build = importlib.import_module("pyfftw.builders").fft
    return build(_random(4_194_304), threads=1, planner_effort="FFTW_ESTIMATE")


@case(
    "highspy",
    "Highs.run()",
    size="200 variables, 150 rows",
    set_up=lambda: _random(150, 200),
    guess="releases",
    why="py::gil_scoped_release around Highs::run",
)
def highs_run(array: Any) -> Any:
    highspy = importlib.import_module("highspy")
    model = highspy.Highs()
    model.silent()
    x = model.addVariables(200, lb=0)
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
    size="a product of 2 primes",
    set_up=lambda: _with("z3"),
    guess="releases",
    why="called by ctypes, which lets go",
)
def z3_check(state: Any) -> Any:
    z3 = state[0]
    context = z3.Context()
    a, b = z3.BitVecs("a b", 48, context)
    solver = z3.Solver(ctx=context)
    solver.add(
        a * b == 4_099 * 4_111, z3.UGT(a, 1), z3.UGT(b, 1), z3.ULT(a, 1 << 16), z3.ULT(b, 1 << 16)
    )
    return solver.check()
