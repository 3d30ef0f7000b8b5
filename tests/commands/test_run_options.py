"""What `gilknocker run` is told: usage errors, options, help; and what it loads."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runs import metered, python

BUSY = "import time\nend = time.monotonic() + 0.4\nwhile time.monotonic() < end: pass"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "a command is needed"),
        (["fly"], "no command 'fly'"),
        (["run"], "run needs a program"),
        (["run", "--live"], "run needs a program"),
        (["run", "-m"], "-m needs a value"),
        (["run", "-c"], "-c needs a value"),
        (["run", "--"], "-- needs a value"),
        (["run", "-"], "cannot be read from stdin"),
        (["run", "--fast", "x.py"], "run has no option --fast"),
        (["run", "--live=1", "x.py"], "run has no option --live=1"),
        (["run", "--interval-micros"], "--interval-micros needs a value"),
        (["run", "--interval-micros", "0", "ok.py"], "must be an integer from 1 to "),
        (["run", "--interval-micros", "-5", "ok.py"], "not '-5'"),
        (["run", "--interval-micros=1e3", "ok.py"], "not '1e3'"),
        (["run", "--interval-micros=1_0", "ok.py"], "not '1_0'"),
        (["run", "--interval-micros", "9" * 5000, "ok.py"], f"not '{'9' * 40}'...\n"),
        (["run", "--interval-micros", "\u0663", "ok.py"], "must be an integer"),
        (["run", "--json"], "--json needs a value"),
        (["run", "--json=", "ok.py"], "--json needs the name of a file"),
        (["run", "--json", "none/out.json", "ok.py"], "--json cannot write 'none/out.json'"),
        (["run", "--json", "folder", "ok.py"], "--json cannot write 'folder': Is a directory"),
        (["run", "--json", "o", "--html", "./o", "ok.py"], "--json and --html cannot both write"),
        (["run", "--trace", "--interval-micros", "5", "ok.py"], "takes none without --stacks"),
        (
            ["run", "--chrome-trace=x", "--interval-micros", "5", "ok.py"],
            "and --chrome-trace takes none",
        ),
        (["run", "--flame", "ok.py"], "run needs a program"),
        *(
            (["run", name], f"cannot read '{name}': No such file or directory\n")
            for name in ("none.py", "none.pyw", "none.pyc", "none.pyz")
        ),
        (["run", "-m", "a\nb"], "No module named a\\nb"),
        (["run", "folder"], "'folder' has no __main__.py to run"),
        (["run", "empty.zip"], "'empty.zip' has no __main__.py to run"),
        (["run", "-m", "no_such"], "No module named no_such"),
        (["run", "-m", "no_such.part"], "No module named 'no_such'"),
        (["run", "-m", "folder"], "folder"),
        (["run", "-m", ".relative"], "Relative module names not supported"),
        (["show"], "show needs one FILE"),
        (["show", "a", "b"], "show needs one FILE"),
        (["compare", "a"], "compare needs two files"),
        (["run", "pytest"], "a module is run with -m: gilknocker run -m pytest"),
        (["run", "uvicorn", "app:app"], "gilknocker run -m uvicorn app:app"),
        (["run", "python", "ok.py"], "leave 'python' out: gilknocker run ok.py"),
        (["run", "python3.12", "-m", "pytest"], "out: gilknocker run -m pytest"),
        (["run", "ok"], "cannot read 'ok': No such file or directory; there is ok.py"),
        (["run", "/usr/bin/env", "x"], "is a compiled program (ELF), not a Python program"),
        (["run", sys.executable, "ok.py"], "is a compiled program (ELF): the program runs in"),
        (["run", "shim"], "is a script for /usr/bin/env bash (a shim of pyenv), not a Python"),
        (["run", "shim"], "gilknocker run -m shim"),
        (["run", "-u", "ok.py"], "Python's own come before -m: python -u -m gilknocker run"),
        (["run", "-Xdev", "ok.py"], "python -Xdev -m gilknocker run"),
        (["ok.py", "--port", "80"], "to run a program: gilknocker run ok.py --port 80"),
        (["-m", "pytest"], "options come after the command: gilknocker run -m pytest"),
        (["--json", "x", "run", "ok.py"], "gilknocker run --json x ok.py"),
        (["--trace", "ok.py"], "gilknocker run --trace ok.py"),
        (["pytest", "-x"], "to run a module: gilknocker run -m pytest -x"),
    ],
)
def test_usage_errors(words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "ok.py").write_text("print('ran')")
    (tmp_path / "folder").mkdir()
    (tmp_path / "shim").write_text(
        '#!/usr/bin/env bash\nset -e\nexec "/home/.pyenv/libexec/pyenv" exec "${0##*/}" "$@"\n'
    )
    (tmp_path / "empty.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    got = python("-m", "gilknocker", *words, cwd=tmp_path)
    assert got.returncode == 2
    assert "ran" not in got.stdout
    assert got.stderr.startswith("gilknocker: error: ") and got.stderr.count("\n") == 1
    assert message in got.stderr


def test_scripts_that_begin_for_a_shell_run(tmp_path: Path) -> None:
    """As pip writes them where the path of Python is too long for a first line."""
    text = f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\nprint('ran')\n"
    (tmp_path / "tool").write_text(text)
    assert metered("tool", cwd=tmp_path)[:3] == (0, "ran\n", "")
    (tmp_path / "tool").write_text("#!/usr/bin/env -S uv run --script\nprint('\\d', 'ran')\n")
    expected = python("tool", cwd=tmp_path)  # with a warning, once
    assert metered("tool", cwd=tmp_path)[:3] == expected[:3]


def test_a_program_that_exits_by_runpy_itself_has_run() -> None:
    code = "import runpy; runpy._run_module_as_main('no_such')"
    got = metered("-c", code)
    assert got.returncode == 1 and "No module named no_such" in got.stderr and got.report


def test_options_end_where_the_program_begins(tmp_path: Path) -> None:
    (tmp_path / "--odd.py").write_text("import sys; print(sys.argv)")
    got = metered("--", "--odd.py", "--json", "x", "--", "-m", cwd=tmp_path)
    assert got.stdout == "['--odd.py', '--json', 'x', '--', '-m']\n"


def test_help_and_version() -> None:
    for asked in (["--help"], ["-h"], ["run", "--help"], ["show", "-h"]):
        got = python("-m", "gilknocker", *asked)
        assert got.returncode == 0 and got.stdout.startswith("usage: gilknocker run")
    version = python("-m", "gilknocker", "--version").stdout
    assert version == f"gilknocker {__import__('gilknocker').__version__}\n"


def test_console_script(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("gilknocker")
    (tmp_path / "program.py").write_text("import sys; print(sys.argv, sys.path)")
    done = subprocess.run(
        [command, "run", "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == python("program.py", cwd=tmp_path).stdout
    assert done.stderr.startswith("gilknocker: ")
    done = subprocess.run([command, "run", "-c", "raise KeyboardInterrupt"], stderr=-3, timeout=60)
    assert done.returncode == -signal.SIGINT


def test_nothing_heavy_is_imported() -> None:
    heavy = {"argparse", "dataclasses", "json", "numpy", "re", "typing"}
    code = f"import sys; print(sorted({heavy} & sys.modules.keys()))"
    assert metered("-c", code).stdout == python("-c", code).stdout
