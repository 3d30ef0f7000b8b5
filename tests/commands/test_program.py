"""A program under `gilknocker run` does what it does under Python alone."""
# ruff: noqa: E501 (a program on one line is easier to read)

from __future__ import annotations

import compileall
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from textwrap import dedent

import pytest
from needs import CAN_TRACE
from runs import RUN, environment, metered, python, split

# Each runs as a file, both ways; stdout, stderr and the exit status must be the same.
PROGRAMS = {
    "argv and path": "import sys; print(sys.argv, sys.path, sys.flags, sys.warnoptions)",
    "namespace": """
        import sys, __main__
        known = dict(globals())
        print(vars(__main__) is globals(), sorted(known), __name__, __doc__, __package__, __spec__)
        print(__file__, type(__loader__), __loader__.path, __loader__.name, __builtins__)
        print(known.get("__cached__", 0), known.get("__annotations__", 0), len(sys.modules) > 0)
    """,
    "docstring": '"""Its own."""; print(__doc__)',
    "future": "from __future__ import annotations\nx: nonsense = 1\nprint(__annotations__)",
    "no future of ours": """
        try:
            def f(x: 1 + 1): pass
            print(f.__annotations__)
        except Exception as error:
            print(error)
    """,
    "loader": "import inspect\ndef f(): return 1\nprint(inspect.getsource(f), __loader__.get_source('__main__'))",
    "filters": "import warnings; print(warnings.filters)",
    "warnings": """
        import warnings
        warnings.warn("shown", DeprecationWarning)
        warnings.warn("also")
        print(sorted(__warningregistry__, key=str))
    """,
    "exit None": "raise SystemExit",
    "exit 0": "import sys; sys.exit(0)",
    "exit 3": "import sys; sys.exit(3)",
    "exit 256": "import sys; sys.exit(256)",
    "exit -1": "import sys; sys.exit(-1)",
    "exit True": "import sys; sys.exit(True)",
    "exit text": "import sys; sys.exit('a reason')",
    "exit object": "import sys; sys.exit((1, 2))",
    "exit subclass": "class E(SystemExit): code = 7\nraise E",
    "exit in a thread": "import threading, sys; t = threading.Thread(target=sys.exit); t.start(); t.join()",
    "uncaught": "def f():\n    raise ValueError('x')\nf()",
    "chained": """
        def f():
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise KeyError("context")
        try:
            f()
        except KeyError as error:
            raise RuntimeError("cause") from error
    """,
    "suppressed": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise OSError(2, 'no') from None",
    "group": """
        try:
            ExceptionGroup
        except NameError:
            raise SystemExit("too old")
        raise ExceptionGroup("several", [ValueError(1), KeyError(2)])
    """,
    "syntax error": "print('never')\nx = = 1\n",
    "indentation error": "if True:\nprint()\n",
    "error in an import": "import json\njson.loads('{')",
    "error in compile": "compile('a b', 'elsewhere.py', 'exec')",
    "generator exit": "raise GeneratorExit('odd')",
    "excepthook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[1], a[2].tb_lineno, a[2].tb_next)\n1 / 0",
    "excepthook fails": "import sys\ndef hook(*a): raise KeyError('hook')\nsys.excepthook = hook\n1 / 0",
    "excepthook exits": "import sys\nsys.excepthook = lambda *a: sys.exit(9)\n1 / 0",
    "excepthook afterwards": """
        import atexit, sys
        def hook(*a): print("hook", flush=True)
        def last():
            print(sys.excepthook is hook, sys.last_type, sys.last_traceback.tb_frame.f_code.co_filename)
            print(sys.last_value.__traceback__ is sys.last_traceback)
        atexit.register(last)
        sys.excepthook = hook
        1 / 0
    """,
    "interrupt": "import atexit; atexit.register(print, 'handlers run')\nraise KeyboardInterrupt",
    "subclass of interrupt": "class K(KeyboardInterrupt): pass\nraise K",
    "interrupt by signal": "import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(9)",
    "terminated": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "os._exit": "import os; print('gone', flush=True); os._exit(5)",
    "exec": "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'print(1)'])",
    "handlers in order": """
        import atexit, os, threading, time, __main__
        def show(where):
            print(where, sorted(name for name in vars(__main__) if name.startswith("__")), flush=True)
        atexit.register(show, "exit")
        def work():
            time.sleep(1)  # as long as main may have no CPU, and longer
            os.write(1, b"thread, after what main printed")
            show("thread")
        threading.Thread(target=work).start()
        show("main")
        print("no newline, flushed at the end of main", end="")
    """,
    "handlers after a failure": """
        import atexit, __main__
        atexit.register(lambda: print(sorted(vars(__main__))))
        1 / 0
    """,
    "threads known": "import threading; print([t.name for t in threading.enumerate()], threading.active_count())",
    "thread fails": "import threading; t = threading.Thread(target=lambda: 1 / 0, name='T'); t.start(); t.join()",
    "unraisable": """
        import sys
        sys.unraisablehook = lambda u: print(type(u.exc_value), u.exc_traceback.tb_next)
        class D:
            def __del__(self): raise ValueError
        D()
    """,
    "pickle": """
        import pickle, sys
        class Own: pass
        print(type(pickle.loads(pickle.dumps(Own()))) is Own, sys.modules["__main__"].Own is Own)
    """,
    "asyncio": "import asyncio\nasync def f():\n    await asyncio.sleep(0.01)\n    return 7\nprint(asyncio.run(f()))",
    "asyncio fails": "import asyncio\nasync def f(): 1 / 0\nasyncio.run(f())",
    "pool": """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(2) as pool:
            print(list(pool.map(str, range(3))))
    """,
    "faulthandler": "import faulthandler; print(faulthandler.is_enabled())",
    "recursion": "import sys\ndef f(n): return n and f(n - 1)\nprint(f(sys.getrecursionlimit() - 50))",
    "closes its streams": "import sys; sys.stderr.close(); sys.stdout.close(); sys.stdout = sys.stderr = None",
    "switches its stderr": "import io, sys; sys.stderr = io.StringIO()",
    "clears main": "import sys; del sys.modules['__main__']",
    "numpy": "import numpy; print(numpy.arange(10).sum())",
    "stdin": "print(input(), input())",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_python_alone(name: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(dedent(PROGRAMS[name]))
    expected = python("program.py", "an", "--argument", cwd=tmp_path, stdin="one\ntwo\n")
    got = metered("program.py", "an", "--argument", cwd=tmp_path, stdin="one\ntwo\n")
    assert got[:3] == expected[:3]


@pytest.mark.parametrize("name", ["argv and path", "uncaught", "exit 3", "interrupt", "warnings"])
@pytest.mark.parametrize("flags", [[], ["-X", "dev", "-W", "error"], ["-I"], ["-O", "-b"]], ids=str)
def test_interpreter_flags(name: str, flags: list[str], tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(dedent(PROGRAMS[name]))
    expected = python(*flags, "program.py", cwd=tmp_path)
    got = metered("program.py", flags=flags, cwd=tmp_path)
    assert got[:3] == expected[:3]


CODE = [
    "import sys; print(sys.argv, sys.path, sorted(globals()), __loader__, __builtins__, __spec__)",
    "def f():\n  raise ValueError\nf()",
    "x = = 1",
    "import sys; sys.exit(4)",
    "import atexit, __main__; atexit.register(lambda: print(sorted(vars(__main__)))); 1 / 0",
    "raise KeyboardInterrupt",
    "import sys; sys.excepthook = None; 1 / 0",
    "import sys; del sys.excepthook; 1 / 0",
    "class A: pass\nimport pickle; print(type(pickle.loads(pickle.dumps(A()))) is A)",
    "# coding: latin-1\nprint(ascii('\u20ac'))\ndef f(x: int): pass\nprint(f.__annotations__)",
]
if sys.version_info >= (3, 12):  # before that Python leaves the hook's own frame out, and we do not
    CODE.append("import sys\ndef hook(k, error, t): raise error\nsys.excepthook = hook; 1 / 0")


@pytest.mark.parametrize("code", CODE)
def test_code_as_python_alone(code: str, tmp_path: Path) -> None:
    expected = python("-c", code, "-x", cwd=tmp_path)
    assert metered("-c", code, "-x", cwd=tmp_path)[:3] == expected[:3]
    assert metered(f"-c{code}", "-x", cwd=tmp_path)[:3] == expected[:3]


def test_indented_code_as_python_alone(tmp_path: Path) -> None:
    code = "\n    x = 1\n    print(x)\n"  # 3.14 removes the indentation
    got, expected = metered("-c", code, cwd=tmp_path), python("-c", code, cwd=tmp_path)
    assert got[:3] == expected[:3]


ENCODED = {
    "latin-1": "# coding: latin-1\nprint(ascii('\u00e9'))\n".encode("latin-1"),
    "signature": "print(ascii('\u00e9'))\n".encode("utf-8-sig"),
    "empty": b"",
    "no end of the last line": b"if 1:\n  print(1)",
    "carriage returns": b"print(1)\r\nprint('''2\r\n3''')\r\n",
}


@pytest.mark.parametrize("name", ENCODED)
def test_encodings_as_python_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_bytes(ENCODED[name])
    expected = python("program.py", cwd=tmp_path)
    assert metered("program.py", cwd=tmp_path)[:3] == expected[:3]


def test_the_console_script_as_python_alone(tmp_path: Path) -> None:
    """C code that runs it goes on with the namespace of what was the main module."""
    for code in ("x = = 1", "1 / 0", "print(__name__)", "import sys; sys.exit(5)"):
        (tmp_path / "program.py").write_text(code)
        expected = python("program.py", cwd=tmp_path)
        done = python(
            Path(sys.executable).with_name("gilknocker"), "run", "program.py", cwd=tmp_path
        )
        assert split(done)[:3] == expected[:3]


def test_paths_as_python_has_them(tmp_path: Path) -> None:
    (tmp_path / "real/inner").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/link").symlink_to("../real/inner")
    (tmp_path / "real/program.py").write_text("print('right', __file__, __import__('sys').path[0])")
    (tmp_path / "here/program.py").write_text("print('wrong', __file__)")
    for folder in ("real", "here"):
        (tmp_path / folder / "__main__.py").write_text(f"print({folder!r}, __file__)")
    for path in ("link/../program.py", "./program.py", ".//program.py", "link/..", ".", "../real"):
        expected = python(path, cwd=tmp_path / "here")
        assert metered(path, cwd=tmp_path / "here")[:3] == expected[:3]


def test_where_we_are_was_removed(tmp_path: Path) -> None:
    shell = 'mkdir gone; cd gone; rmdir ../gone; exec "$0" -m gilknocker "$@"'
    for words in (["program.py"], ["--json", "out", "-c", "1"], ["--html", "o", "-c", "1"]):
        done = subprocess.run(
            ["sh", "-c", shell, sys.executable, "run", *words],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 2 and done.stderr.startswith("gilknocker: error: ")
        assert done.stderr.count("\n") == 1


SAYS = """
import sys
print(sys.argv, sys.path[0], sys.modules["__main__"].__dict__ is globals(), sorted(globals()))
print(__name__, __file__, __package__, __spec__ and __spec__.name, type(__loader__).__name__)
if sys.argv[-1] == "fail":
    1 / 0
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Build a module, a package, a folder, a zip file, compiled code and a link, all of SAYS."""
    for name in ("module.py", "folder/__main__.py", "package/__main__.py", "inner/script.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(SAYS)
    (tmp_path / "package/__init__.py").write_text("print('imported', __name__)")
    (tmp_path / "link.py").symlink_to("inner/script.py")
    compileall.compile_file(str(tmp_path / "module.py"), quiet=1, legacy=True)
    (tmp_path / "module.pyc").rename(tmp_path / "compiled.pyc")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.write(tmp_path / "module.py", "__main__.py")
    return tmp_path


FORMS = {
    "module": ["-m", "module"],
    "module glued": ["-mmodule"],
    "package": ["-m", "package"],
    "submodule": ["-m", "package.__main__"],
    "folder": ["folder"],
    "zip": ["archive.zip"],
    "compiled": ["compiled.pyc"],
    "link": ["link.py"],
    "in a folder": ["inner/script.py"],
}


@pytest.mark.parametrize("flag", ["", "-I", "fail"])
@pytest.mark.parametrize("form", FORMS)
def test_forms_as_python_alone(form: str, flag: str, tree: Path) -> None:
    flags = [flag] if flag == "-I" else []
    words = [*FORMS[form], "-v", flag]
    if flag == "-I" and form in ("module", "module glued", "package", "submodule"):
        pytest.skip("-I finds no module here")
    got, expected = metered(*words, flags=flags, cwd=tree), python(*flags, *words, cwd=tree)
    assert got[:3] == expected[:3]


def test_standard_modules_as_programs(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("x = 1\ny = 2\nprint(x, y)\n")
    for words, stdin in (
        (["-m", "json.tool"], '{"a": [1]}'),
        (["-m", "pdb", "program.py"], "next\nwhere\np __file__, __name__\ncontinue\nquit\n"),
        (["-m", "unittest", "--help"], ""),
    ):
        got = metered(*words, cwd=tmp_path, stdin=stdin)
        expected = python(*words, cwd=tmp_path, stdin=stdin)
        if "pdb" in words:  # `where` shows the frames below the program, ours among them
            assert "-> y = 2" in got.stdout and f"'{tmp_path}/program.py', '__main__'" in got.stdout
        else:
            assert got.stdout == expected.stdout
        assert got.returncode == expected.returncode


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("form", [["program.py"], ["-m", "program"]], ids=str)
def test_multiprocessing(method: str, form: list[str], tmp_path: Path) -> None:
    program = f"""
        import multiprocessing, sys
        class Own:
            def __init__(self, n): self.n = n
        def work(own): return Own(own.n + 1)
        if __name__ == "__main__":
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                print([type(own) is Own and own.n for own in pool.map(work, [Own(1), Own(2)])])
                pool.close(); pool.join()
    """
    (tmp_path / "program.py").write_text(dedent(program))
    got = metered(*form, cwd=tmp_path)
    assert (got.returncode, got.stdout, got.stderr) == (0, "[2, 3]\n", "")
    assert got.report.count("gilknocker:") == 1


def test_forked_child_reports_nothing(tmp_path: Path) -> None:
    code = "import os, sys; pid = os.fork(); pid and os.waitpid(pid, 0); sys.exit(0)"
    got = metered("-c", code, flags=["-W", "error"])
    assert (got.returncode, got.stderr) == (0, "")
    assert got.report.count("gilknocker:") == 1


def test_modules_of_the_program_hide_those_we_use(tmp_path: Path) -> None:
    for name in ("numbers", "json", "struct", "report"):
        (tmp_path / f"{name}.py").write_text(f"print('own {name}')")
    (tmp_path / "program.py").write_text("import numbers, json, struct, report")
    for options in ([], ["--json", "out.json"]):
        got = metered("program.py", options=options, cwd=tmp_path)
        assert got[:3] == python("program.py", cwd=tmp_path)[:3]
        assert got.stdout == "own numbers\nown json\nown struct\nown report\n"
        assert got.report
    assert (tmp_path / "out.json").exists()


@pytest.mark.parametrize("option", ["--json", "--html", "--chrome-trace"])
def test_modules_of_the_program_are_not_taken_for_ours_at_exit(option: str, tmp_path: Path) -> None:
    if option == "--chrome-trace" and not CAN_TRACE:
        pytest.skip("the GIL cannot be traced here")
    for name in ("numpy", "array", "json", "gzip", "threading"):
        (tmp_path / f"{name}.py").write_text(f"print('own {name}')")
    (tmp_path / "program.py").write_text("import time; time.sleep(0.05)")
    # Not where we are: -m itself would look there.
    got = metered(tmp_path / "program.py", options=[option, str(tmp_path / "out.gz")])
    assert (got.returncode, got.stdout, got.stderr) == (0, "", "")
    assert "error" not in got.report and (tmp_path / "out.gz").stat().st_size > 100


def test_interrupted_server_dies_of_the_signal_and_reports() -> None:
    code = dedent("""
        from wsgiref.simple_server import make_server
        server = make_server("127.0.0.1", 0, lambda environ, start: [])
        print("ready", flush=True)
        server.serve_forever()
    """)
    for number, reports in ((signal.SIGINT, True), (signal.SIGTERM, False)):
        with subprocess.Popen(
            [sys.executable, *RUN, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None and process.stdout.readline() == "ready\n"
                time.sleep(0.1)
                process.send_signal(number)
                _, stderr = process.communicate(timeout=30)
            finally:
                process.kill()  # the block would wait for one that lives on
        assert process.returncode == -number
        assert ("gilknocker:" in stderr) is reports  # SIGTERM's default action runs no handlers
        assert ("KeyboardInterrupt" in stderr) is reports


def test_pytest_with_warnings_as_errors(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nfilterwarnings = ["error"]\n'
    )
    (tmp_path / "test_it.py").write_text(
        "def test_it(gil_knocker):\n    assert gil_knocker.is_running\n"
        "def test_fails():\n    assert 1 == 2\n"
    )
    got = metered("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert got.returncode == 1 and "1 failed, 1 passed" in got.stdout and got.stderr == ""
    assert "of -m pytest -q -p no:cacheprovider (exit status 1)" in got.report


def test_removed_working_directory(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    (tmp_path / "module.py").write_text("print('ran')")
    shell = f'rmdir "{gone}"; exec "$0" "$@"'
    env = environment(PYTHONPATH=str(tmp_path))
    for runner in ([], RUN):
        gone.mkdir()
        command = ["sh", "-c", shell, sys.executable, *runner, "-m", "module"]
        done = subprocess.run(
            command, cwd=gone, env=env, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr


@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_the_example_of_the_investigation(pool: str) -> None:
    program = Path(__file__).parents[2] / "examples" / "parse_sources.py"
    got = metered(program, "--pool", pool, "--share", "60")
    assert (got.returncode, got.stderr) == (0, "") and got.report
    assert " files, " in got.stdout and "most used: " in got.stdout
