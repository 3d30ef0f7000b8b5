"""Where stalls are told: a file that can be written to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from needs import needs_gil

from gilknocker import _core, watch_stalls

pytestmark = [
    needs_gil,
    pytest.mark.skipif(
        _core.look_problem() is not None, reason=f"unsupported: {_core.look_problem()}"
    ),
    pytest.mark.skipif(sys.platform == "win32", reason="nobody says it there"),
]


@pytest.mark.parametrize("what", ["file", "pipe", "folder", "file object"])
def test_what_is_for_reading_only_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    reading, writing = os.pipe()
    opened = {
        "file": os.open(path, os.O_RDONLY),
        "pipe": reading,
        "folder": os.open(tmp_path, os.O_RDONLY),
    }
    with path.open() as file:
        descriptor = opened.get(what, file.fileno())
        said = f"file must be open for writing, and descriptor {descriptor} is not"
        with pytest.raises(ValueError, match=said):
            watch_stalls(file=opened.get(what, file))
    for one in (*opened.values(), writing):
        os.close(one)


def test_a_program_whose_stderr_is_for_reading_only_runs(tmp_path: Path) -> None:
    words = ("-m", "gilknocker", "run", "--stalls", "200ms", "-c", "print('ran')")
    with open(os.devnull) as stderr:
        got = subprocess.run(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=60
        )
    assert (got.returncode, got.stdout) == (0, "ran\n")
