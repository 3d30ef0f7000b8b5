"""Texts and messages: parsers, serializers, tokenizers, templates."""

from __future__ import annotations

import importlib
import json
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case

_C_CALL = "one call of compiled code that never lets go"


def _records(count: int = 60_000) -> list[dict[str, Any]]:
    return [{"id": i, "name": f"name {i}", "values": list(range(10))} for i in range(count)]


def _with(module: str, made: Any) -> Any:
    return importlib.import_module(module), made


@case(
    "orjson",
    "orjson.loads(data)",
    size="10 MB",
    set_up=lambda: _with("orjson", json.dumps(_records(120_000))),
    guess="keeps",
    why=_C_CALL,
)
def orjson_loads(state: Any) -> Any:
    return state[0].loads(state[1])


@case(
    "orjson",
    "orjson.dumps(obj)",
    size="480,000 records",
    set_up=lambda: _with("orjson", _records() * 8),
    guess="keeps",
    why=_C_CALL,
)
def orjson_dumps(state: Any) -> Any:
    return state[0].dumps(state[1])


@case(
    "ujson",
    "ujson.loads(text)",
    size="10 MB",
    set_up=lambda: _with("ujson", json.dumps(_records(120_000))),
    guess="keeps",
    why=_C_CALL,
)
def ujson_loads(state: Any) -> Any:
    return state[0].loads(state[1])


@case(
    "python-rapidjson",
    "rapidjson.loads(text)",
    size="5 MB",
    set_up=lambda: _with("rapidjson", json.dumps(_records(60_000))),
    guess="keeps",
    why=_C_CALL,
)
def rapidjson_loads(state: Any) -> Any:
    return state[0].loads(state[1])


@case(
    "pysimdjson",
    "simdjson.Parser().parse(data)",
    size="70 MB, into its own document",
    set_up=lambda: _with("simdjson", json.dumps(_records(60_000) * 15).encode()),
    guess="keeps",
)
def simdjson_parse(state: Any) -> Any:
    return state[0].Parser().parse(state[1])


@case(
    "msgspec",
    "msgspec.json.decode(data)",
    size="10 MB",
    set_up=lambda: _with("msgspec", json.dumps(_records(120_000)).encode()),
    guess="keeps",
    why=_C_CALL,
)
def msgspec_decode(state: Any) -> Any:
    return importlib.import_module("msgspec.json").decode(state[1])


@case(
    "PyYAML",
    "yaml.load(text, CSafeLoader)",
    size="1,500 records",
    set_up=lambda: _with("yaml", json.dumps(_records(1_500))),
    guess="gives way",
)
def yaml_c_load(state: Any) -> Any:
    return state[0].load(state[1], state[0].CSafeLoader)


@case(
    "PyYAML",
    "yaml.safe_load(text)",
    size="150 records",
    set_up=lambda: _with("yaml", json.dumps(_records(150))),
    guess="gives way",
    why="written in Python",
)
def yaml_load(state: Any) -> Any:
    return state[0].safe_load(state[1])
