"""Texts and messages: parsers, serializers, tokenizers, templates."""

from __future__ import annotations

import importlib
import json
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case


def _records(count: int = 60_000) -> list[dict[str, Any]]:
    return [{"id": i, "name": f"name {i}", "values": list(range(10))} for i in range(count)]


def _document(times: int) -> bytes:
    inside = json.dumps(_records())[1:-1]
    return f"[{', '.join([inside] * times)}]".encode()


def _with(module: str, made: Any) -> Any:
    return importlib.import_module(module), made


@case(
    "orjson",
    "orjson.loads(data)",
    size="38 MB",
    set_up=lambda: _with("orjson", json.dumps(_records() * 8)),
    guess="keeps",
    why="one call: nothing in its sources lets go (loads in src/lib.rs)",
)
def orjson_loads(state: Any) -> Any:
    return state[0].loads(state[1])


@case(
    "orjson",
    "orjson.dumps(obj)",
    size="3,000,000 records",
    set_up=lambda: _with("orjson", _records() * 50),
    guess="keeps",
    why="one call: nothing in its sources lets go (dumps in src/lib.rs)",
)
def orjson_dumps(state: Any) -> Any:
    return state[0].dumps(state[1])


@case(
    "ujson",
    "ujson.loads(text)",
    size="33 MB",
    set_up=lambda: _with("ujson", json.dumps(_records() * 7)),
    guess="keeps",
    why="one call: nothing in its sources lets go (src/ujson/decode.c)",
)
def ujson_loads(state: Any) -> Any:
    return state[0].loads(state[1])


@case(
    "python-rapidjson",
    "rapidjson.loads(text)",
    size="28 MB",
    set_up=lambda: _with("rapidjson", json.dumps(_records() * 6)),
    guess="keeps",
    why="one call: a Validator lets go, loads() does not (rapidjson.cpp)",
)
def rapidjson_loads(state: Any) -> Any:
    return state[0].loads(state[1])


@case(
    "pysimdjson",
    "simdjson.Parser().parse(data)",
    size="94 MB, into its own document",
    set_up=lambda: _with("simdjson", _document(20)),
    guess="keeps",
    why="no nogil around the parsing (Parser.parse in simdjson/csimdjson.pyx)",
)
def simdjson_parse(state: Any) -> Any:
    return state[0].Parser().parse(state[1])


@case(
    "msgspec",
    "msgspec.json.decode(data)",
    size="38 MB",
    set_up=lambda: _with("msgspec", json.dumps(_records() * 8).encode()),
    guess="keeps",
    why="one call: its sources let go only without a GIL (src/msgspec/_core.c)",
)
def msgspec_decode(state: Any) -> Any:
    return importlib.import_module("msgspec.json").decode(state[1])


@case(
    "PyYAML",
    "yaml.load(text, CSafeLoader)",
    size="3,500 records",
    set_up=lambda: _with("yaml", json.dumps(_records(3_500))),
    guess="gives way",
    why="resolve() of each scalar is Python; garbage collections are long (yaml/_yaml.pyx)",
)
def yaml_c_load(state: Any) -> Any:
    return state[0].load(state[1], state[0].CSafeLoader)


@case(
    "PyYAML",
    "yaml.safe_load(text)",
    size="1,000 records",
    set_up=lambda: _with("yaml", json.dumps(_records(1_000))),
    guess="gives way",
    why="written in Python",
)
def yaml_load(state: Any) -> Any:
    return state[0].safe_load(state[1])
