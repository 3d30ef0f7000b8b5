"""The recipes of docs/engines.md with the real engines, where they are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"


@pytest.mark.parametrize(("heading", "module"), [("Ray", "ray"), ("Spark", "pyspark")])
def test_a_recipe(tmp_path: Path, heading: str, module: str) -> None:
    pytest.importorskip(module)
    if module == "pyspark" and shutil.which("java") is None:
        pytest.skip("needs Java")
    part = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]
    program = tmp_path / "recipe.py"
    program.write_text(part.split("```python\n")[1].split("```")[0])
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=os.environ | {"PYSPARK_PYTHON": sys.executable, "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    worst, merged = re.findall(r"held ([\d.]+) %", done.stdout)
    assert float(worst) >= float(merged) - 0.1 and float(merged) > 50
