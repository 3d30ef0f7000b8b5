"""The standard library, where what matters is the call and not the file or socket behind it."""

from __future__ import annotations

import json
import pickle
import random
import re
import time
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case


def _records() -> list[dict[str, Any]]:
    return [{"id": i, "name": f"name {i}", "values": list(range(10))} for i in range(60_000)]


_C_CALL = "one call of C code that never lets go"


@case(
    "python", "json.dumps(obj)", size="60,000 records", set_up=_records, guess="keeps", why=_C_CALL
)
def json_dumps(records: list[dict[str, Any]]) -> str:
    return json.dumps(records)


@case(
    "python",
    "json.dumps(obj, indent=1)",
    size="20,000 records",
    set_up=lambda: _records()[:20_000],
    guess="gives way",
    why="indent leaves the C encoder for one in Python (json/encoder.py)",
)
def json_dumps_indent(records: list[dict[str, Any]]) -> str:
    return json.dumps(records, indent=1)


@case(
    "python",
    "json.loads(text)",
    size="10 MB",
    set_up=lambda: json.dumps(_records() * 2),
    guess="keeps",
    why=_C_CALL,
)
def json_loads(text: str) -> Any:
    return json.loads(text)


@case(
    "python",
    "json.dump(obj, file)",
    size="30,000 records",
    set_up=lambda: _records()[:30_000],
    guess="gives way",
    why="iterencode() yields piece by piece, each of them in Python",
)
def json_dump(records: list[dict[str, Any]]) -> None:
    with open("/dev/null", "w") as file:
        json.dump(records, file)


@case(
    "python",
    "pickle.dumps(obj)",
    size="200,000 records",
    set_up=lambda: [{"id": i, "name": str(i)} for i in range(200_000)],
    guess="keeps",
    why=_C_CALL,
)
def pickle_dumps(records: list[dict[str, Any]]) -> bytes:
    return pickle.dumps(records)


@case(
    "python",
    "pickle.loads(data)",
    size="150,000 records",
    set_up=lambda: pickle.dumps([{"id": i, "name": str(i)} for i in range(150_000)]),
    guess="keeps",
    why=_C_CALL,
)
def pickle_loads(data: bytes) -> Any:
    return pickle.loads(data)


@case(
    "python",
    "pickle.loads(data)",
    size="150,000 objects of a class",
    set_up=lambda: pickle.dumps(
        [random.Random(i) for i in range(3)] + [_Point(i) for i in range(150_000)]
    ),
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
    size="1,500,000 numbers",
    guess="gives way",
    why="Python code lets go at a loop's end when asked",
)
def generator_sum(_: None) -> int:
    return sum(x * x for x in range(1_500_000))


@case("python", "sum(range(n))", size="n = 5,000,000", guess="keeps", why=_C_CALL)
def range_sum(_: None) -> int:
    return sum(range(5_000_000))


@case(
    "python",
    "sorted(numbers)",
    size="300,000 floats",
    set_up=lambda: [random.random() for _ in range(200_000)],
    guess="keeps",
    why=_C_CALL,
)
def sort_floats(numbers: list[float]) -> list[float]:
    return sorted(numbers)


@case(
    "python",
    "sorted(strings, key=str.lower)",
    size="200,000 strings",
    set_up=lambda: [f"Name {random.random()}" for _ in range(200_000)],
    guess="keeps",
    why="the key is a method in C: no Python code runs",
)
def sort_key_c(strings: list[str]) -> list[str]:
    return sorted(strings, key=str.lower)


@case(
    "python",
    "sorted(strings, key=lambda s: s)",
    size="200,000 strings",
    set_up=lambda: [f"Name {random.random()}" for _ in range(200_000)],
    guess="long pieces",
    why="keys are made in Python, but then they are compared in C",
)
def sort_key_python(strings: list[str]) -> list[str]:
    return sorted(strings, key=lambda s: s)


@case(
    "python",
    "re.sub(pattern, str, text)",
    size="8 MB",
    set_up=lambda: "some words and 1234 numbers " * 300_000,
    guess="keeps",
    why="the matcher lets go for signals only (Modules/_sre)",
)
def re_sub(text: str) -> str:
    return re.sub(r"\d+", "#", text)


@case(
    "python",
    "re.sub(pattern, function, text)",
    size="4 MB",
    set_up=lambda: "some words and 1234 numbers " * 150_000,
    guess="gives way",
    why="the function is Python code, where it lets go",
)
def re_sub_function(text: str) -> str:
    return re.sub(r"\d+", lambda match: "#", text)


@case(
    "python",
    "re.findall(pattern, text)",
    size="4 MB",
    set_up=lambda: "some words and 1234 numbers " * 150_000,
    guess="keeps",
    why=_C_CALL,
)
def re_findall(text: str) -> list[str]:
    return re.findall(r"\w+", text)


@case(
    "python",
    "text.split()",
    size="2,500,000 words",
    set_up=lambda: "word " * 2_500_000,
    guess="keeps",
    why=_C_CALL,
)
def split(text: str) -> list[str]:
    return text.split()


@case(
    "python",
    "data.decode()",
    size="110 MB of UTF-8",
    set_up=lambda: "Füße und Wörter ".encode() * 6_000_000,
    guess="keeps",
    why=_C_CALL,
)
def decode(data: bytes) -> str:
    return data.decode()


@case(
    "python",
    "a * b",
    size="ints of 1,600,000 bits",
    set_up=lambda: (1 << 1_600_000) - 1,
    guess="keeps",
)
def int_product(number: int) -> int:
    return number * number


@case("python", "pow(a, b, m)", size="4,096 bits", set_up=lambda: (1 << 4_096) - 3, guess="keeps")
def int_pow(number: int) -> int:
    return pow(3, number - 2, number)


@case(
    "python",
    "copy.deepcopy(obj)",
    size="10,000 records",
    set_up=lambda: _records()[:10_000],
    guess="gives way",
    why="copy is written in Python",
)
def deepcopy(records: list[dict[str, Any]]) -> Any:
    import copy

    return copy.deepcopy(records)


@case(
    "python",
    "gc.collect()",
    size="1,000,000 objects",
    set_up=lambda: [[i] for i in range(1_000_000)],
    guess="keeps",
    why="one pass in C over all containers",
)
def gc_collect(_: object) -> int:
    import gc

    return gc.collect()
