"""The standard library, where what matters is the call and not the file or socket behind it."""

from __future__ import annotations

import json
import pickle
import random
import re
import time
from collections.abc import Callable
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case


def _records(count: int = 60_000) -> list[dict[str, Any]]:
    return [{"id": i, "name": f"name {i}", "values": list(range(10))} for i in range(count)]


def _small_records(count: int) -> list[dict[str, Any]]:
    return [{"id": i, "name": str(i)} for i in range(count)]


def _floats(count: int) -> list[float]:
    random.seed(1)
    return [random.random() for _ in range(count)]


def _many(make: Callable[[], Any]) -> Any:
    import gc

    gc.disable()  # or it would go over them again and again meanwhile
    try:
        return make()
    finally:
        gc.enable()


def _names(count: int) -> list[str]:
    return [f"Name {number}" for number in _floats(count)]


_C_CALL = "one call of C code that never lets go"


@case(
    "python",
    "json.dumps(obj)",
    size="720,000 records",
    set_up=lambda: _records() * 12,
    guess="keeps",
    why=_C_CALL,
)
def json_dumps(records: list[dict[str, Any]]) -> str:
    return json.dumps(records)


@case(
    "python",
    "json.dumps(obj, indent=1)",
    size="150,000 records",
    set_up=lambda: _records(150_000),
    guess="gives way",
    why="up to 3.13 an encoder in Python (json/encoder.py); joining its pieces is one call",
)
def json_dumps_indent(records: list[dict[str, Any]]) -> str:
    return json.dumps(records, indent=1)


@case(
    "python",
    "json.loads(text)",
    size="24 MB",
    set_up=lambda: json.dumps(_records() * 5),
    guess="keeps",
    why=_C_CALL,
)
def json_loads(text: str) -> Any:
    return json.loads(text)


@case(
    "python",
    "json.dump(obj, file)",
    size="80,000 records",
    set_up=lambda: _records(80_000),
    guess="gives way",
    why="iterencode() yields piece by piece, each of them in Python",
)
def json_dump(records: list[dict[str, Any]]) -> None:
    with open("/dev/null", "w") as file:
        json.dump(records, file)


@case(
    "python",
    "pickle.dumps(obj)",
    size="600,000 records",
    set_up=lambda: _small_records(600_000),
    guess="keeps",
    why=_C_CALL,
)
def pickle_dumps(records: list[dict[str, Any]]) -> bytes:
    return pickle.dumps(records)


@case(
    "python",
    "pickle.loads(data)",
    size="1,200,000 records",
    set_up=lambda: _many(lambda: pickle.dumps(_small_records(1_200_000))),
    guess="keeps",
    why=_C_CALL,
)
def pickle_loads(data: bytes) -> Any:
    return pickle.loads(data)


@case(
    "python",
    "pickle.loads(data)",
    size="700,000 objects of a class",
    set_up=lambda: _many(lambda: pickle.dumps([_Point(i) for i in range(700_000)])),
    guess="keeps",
    why="objects without __setstate__ are made in C",
)
def pickle_loads_objects(data: bytes) -> Any:
    return pickle.loads(data)


class _Point:
    def __init__(self, x: int) -> None:
        self.x = x


@case("python", "time.sleep(0.3)", guess="releases", why="lets go before it sleeps")
def sleep(_: None) -> None:
    time.sleep(0.3)


@case(
    "python",
    "sum(x * x for x in r)",
    size="8,000,000 numbers",
    guess="gives way",
    why="Python code lets go at a loop's end when asked",
)
def generator_sum(_: None) -> int:
    return sum(x * x for x in range(8_000_000))


@case("python", "sum(range(n))", size="n = 45,000,000", guess="keeps", why=_C_CALL)
def range_sum(_: None) -> int:
    return sum(range(45_000_000))


@case(
    "python",
    "sorted(numbers)",
    size="1,800,000 floats",
    set_up=lambda: _floats(1_800_000),
    guess="keeps",
    why=_C_CALL,
)
def sort_floats(numbers: list[float]) -> list[float]:
    return sorted(numbers)


@case(
    "python",
    "sorted(strings, key=str.lower)",
    size="900,000 strings",
    set_up=lambda: _names(900_000),
    guess="keeps",
    why="the key is a method in C: no Python code runs",
)
def sort_key_c(strings: list[str]) -> list[str]:
    return sorted(strings, key=str.lower)


@case(
    "python",
    "sorted(strings, key=lambda s: s)",
    size="900,000 strings",
    set_up=lambda: _names(900_000),
    guess="long pieces",
    why="keys are made in Python, but then they are compared in C",
)
def sort_key_python(strings: list[str]) -> list[str]:
    return sorted(strings, key=lambda s: s)


@case(
    "python",
    "re.sub(pattern, str, text)",
    size="31 MB",
    set_up=lambda: "some words and 1234 numbers " * 1_100_000,
    guess="keeps",
    why="the matcher lets go for signals only (Modules/_sre)",
)
def re_sub(text: str) -> str:
    return re.sub(r"\d+", "#", text)


@case(
    "python",
    "re.sub(pattern, function, text)",
    size="28 MB",
    set_up=lambda: "some words and 1234 numbers " * 1_000_000,
    guess="gives way",
    why="the function is Python code, where it lets go",
)
def re_sub_function(text: str) -> str:
    return re.sub(r"\d+", lambda match: "#", text)


@case(
    "python",
    "re.findall(pattern, text)",
    size="22 MB",
    set_up=lambda: "some words and 1234 numbers " * 800_000,
    guess="keeps",
    why=_C_CALL,
)
def re_findall(text: str) -> list[str]:
    return re.findall(r"\w+", text)


@case(
    "python",
    "text.split()",
    size="10,000,000 words",
    set_up=lambda: "word " * 10_000_000,
    guess="keeps",
    why=_C_CALL,
)
def split(text: str) -> list[str]:
    return text.split()


@case(
    "python",
    "data.decode()",
    size="340 MB of UTF-8",
    set_up=lambda: "Füße und Wörter ".encode() * 18_000_000,
    guess="keeps",
    why=_C_CALL,
)
def decode(data: bytes) -> str:
    return data.decode()


@case(
    "python",
    "a * b",
    size="ints of 3,200,000 bits",
    set_up=lambda: (1 << 3_200_000) - 1,
    guess="keeps",
    why=_C_CALL,
)
def int_product(number: int) -> int:
    return number * number


@case(
    "python",
    "pow(a, b, m)",
    size="5,800 bits",
    set_up=lambda: (1 << 5_800) - 3,
    guess="keeps",
    why=_C_CALL,
)
def int_pow(number: int) -> int:
    return pow(3, number - 2, number)


@case(
    "python",
    "copy.deepcopy(obj)",
    size="110,000 records",
    set_up=lambda: _records(110_000),
    guess="gives way",
    why="copy is written in Python; long pieces, if any, are passes of the garbage collector",
)
def deepcopy(records: list[dict[str, Any]]) -> Any:
    import copy

    return copy.deepcopy(records)


@case(
    "python",
    "gc.collect()",
    size="4,000,000 objects",
    set_up=lambda: _many(lambda: [[i] for i in range(4_000_000)]),
    guess="keeps",
    why="one pass in C over all containers",
)
def gc_collect(_: object) -> int:
    import gc

    return gc.collect()
