"""The C++ core's own tests, which need no Python."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

CPP = Path(__file__).parent.parent / "cpp"


@pytest.mark.skipif(not CPP.is_dir(), reason="these tests run away from a checkout: no cpp/ here")
def test_core_without_python() -> None:
    # Without g++ this fails: a machine that passes all the tests has run the C++ ones.
    done = subprocess.run(
        [CPP / "tests" / "run", "plain"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^[1-9]\d* passed, 0 failed$", done.stdout, re.MULTILINE), done.stdout
