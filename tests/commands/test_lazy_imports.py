"""`gilknocker run` where Python was told to put off all imports (PEP 810).

No module of the program is taken for one of ours, and none is run a second time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from needs import CAN_TRACE
from runs import metered, python

pytestmark = pytest.mark.skipif(
    not hasattr(sys, "set_lazy_imports"), reason="imports are lazy from 3.15 on"
)
LAZY = {"PYTHON_LAZY_IMPORTS": "all"}
# What the report, a trace and a page need, from the standard library and numpy.
NAMES = (
    *("json", "threading", "struct", "math", "os", "re", "time", "html", "gzip", "zlib", "atexit"),
    *("weakref", "functools", "numbers", "errno", "stat", "types", "textwrap", "runpy", "numpy"),
)
OPTIONS = [
    [],
    ["--json", "out"],
    ["--html", "out"],
    ["--trace", "--json", "out"],
    ["--chrome-trace", "out"],
]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_modules_of_the_program_are_not_ours(options: list[str], tmp_path: Path) -> None:
    if not {"--trace", "--chrome-trace"}.isdisjoint(options) and not CAN_TRACE:
        pytest.skip("the GIL cannot be traced here")
    folder = tmp_path / "folder"  # not where we are: -m itself would look there
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"print('own {name}')")
    (folder / "program.py").write_text("print('program')")
    expected = python("folder/program.py", cwd=tmp_path, env=LAZY)
    got = metered("folder/program.py", options=options, cwd=tmp_path, env=LAZY)
    assert got[:3] == expected[:3]
    assert got.report and "error" not in got.report
    assert not options or (tmp_path / "out").stat().st_size > 100


@pytest.mark.parametrize("form", [["json.py"], ["-m", "json"]], ids=" ".join)
def test_a_program_with_the_name_of_a_module_runs_once(form: list[str], tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("print('ran')")
    got = metered(*form, options=["--json", "out"], cwd=tmp_path, env=LAZY)
    assert (got.returncode, got.stdout, got.stderr) == (0, "ran\n", "")
    assert "error" not in got.report


@pytest.mark.parametrize("mode", ["all", "normal"])
def test_the_program_s_imports_are_as_python_was_told(mode: str, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text("print('imported')")
    (tmp_path / "program.py").write_text(
        "import sys, noisy\nprint(sys.get_lazy_imports(), 'noisy' in sys.modules)"
    )
    env = {"PYTHON_LAZY_IMPORTS": mode}
    expected = python("program.py", cwd=tmp_path, env=env)
    assert metered("program.py", cwd=tmp_path, env=env)[:3] == expected[:3]
    assert mode in expected.stdout
