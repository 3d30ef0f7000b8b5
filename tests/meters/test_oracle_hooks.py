"""How the oracle hooks in, leaves no trace, and says where it cannot."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import oracle as oracle_package
import pytest
from oracle import Oracle

from gilknocker.testing import hold_gil, release_gil

SUPPORTED, REASON = Oracle.supported()
pytestmark = pytest.mark.skipif(not SUPPORTED, reason=f"the oracle {REASON}")

HERE = Path(oracle_package.__file__).parent
POINTER_SIZE = ctypes.sizeof(ctypes.c_void_p)


# ---- hooking in, and leaving no trace -------------------------------------------------------


def relocations() -> list[tuple[bytes, str]]:
    """Return each relocated pointer's bytes and how its page is protected."""
    mappings = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    found = []
    for address in Oracle().relocations():
        for ends, permissions, *_ in mappings:
            start, end = (int(word, 16) for word in ends.split("-"))
            if start <= address < end:
                found.append((ctypes.string_at(address, POINTER_SIZE), permissions))
    return found


@pytest.mark.parametrize("fails", [False, True])
def test_relocations_are_restored(fails: bool) -> None:
    before = relocations()
    assert before
    try:
        with Oracle():
            during = relocations()
            assert not fails, "on purpose"
    except AssertionError as error:
        assert "on purpose" in str(error)
    assert relocations() == before
    for (was, permissions_were), (became, permissions_became) in zip(before, during, strict=True):
        assert became != was
        assert permissions_became == permissions_were


def test_read_only_relocations(tmp_path: Path) -> None:
    program = tmp_path / "relocations_check"
    sources = [HERE / "relocations_check.c", HERE / "relocations.c"]
    flags = ["-std=c11", "-O2", "-fPIE", "-pie", "-Wl,-z,now,-z,relro"]
    compiler = oracle_package._compiler()
    subprocess.run([*compiler, *flags, *sources, "-o", program], timeout=60, check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    pages = lines[1 : len(lines) // 3]
    assert "page r--p" in pages  # called through
    if platform.libc_ver()[0] == "glibc":  # else where the table lies is the compiler's choice
        assert pages == ["page r--p", "page rw-p"]
    assert lines == [
        *["calls 0 0", *pages],
        *["calls 1 1", *pages],
        *["calls 0 0", *pages],
    ]


def test_only_one_at_a_time() -> None:
    with Oracle() as first:
        with pytest.raises(RuntimeError, match=r"^the oracle is running already$"):
            Oracle().__enter__()
        hold_gil(0.001)
        assert first.read().held_fraction == 1


def test_relocation_that_somebody_else_redirected() -> None:
    spec = importlib.util.spec_from_file_location("second_oracle", HERE / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    second = importlib.util.module_from_spec(spec)
    sys.modules["second_oracle"] = second  # dataclasses look there
    try:
        spec.loader.exec_module(second)
        with second.Oracle():
            pass
        with Oracle() as first:
            with pytest.raises(RuntimeError, match=r"redirected already, by somebody else$"):
                second.Oracle().__enter__()
            release_gil(0)
            assert first.read().holds == 1
    finally:
        del sys.modules["second_oracle"]


def test_relocation_that_somebody_else_changes_meanwhile() -> None:
    [(_, permissions)] = before = relocations()
    if "w" not in permissions:
        pytest.skip("the relocation cannot be written to")
    [address] = Oracle().relocations()
    slot = ctypes.c_void_p.from_address(address)
    original = slot.value
    message = r"^a relocation was changed under the oracle, and left$"
    with pytest.raises(RuntimeError, match=message), Oracle():
        slot.value = original
    assert relocations() == before
    with Oracle() as again:
        release_gil(0)
        assert again.read().holds == 1


PROGRAM = """
    import sys, threading
    sys.path.insert(0, {folder!r})
    from oracle import Oracle
    from gilknocker.testing import hold_gil, release_gil
    assert threading.active_count() == 1
    with Oracle() as oracle:
        hold_gil(0.01)
        held = oracle.read()
        release_gil(0.01)
        freed = oracle.read()
    assert held.held_fraction == 1 and held.holds == 0, held
    assert freed.observed_seconds - freed.held_seconds >= 0.01 and freed.holds == 1, freed
"""


def test_interpreter_with_one_thread_and_another_folder(tmp_path: Path) -> None:
    shutil.copytree(HERE, tmp_path / "oracle")
    program = textwrap.dedent(PROGRAM).format(folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- where there can be none ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name", "value", "reason"),
    [
        ("sys", "platform", "darwin", "needs Linux"),
        ("sys", "_is_gil_enabled", lambda: False, "needs CPython with a GIL"),
        ("platform", "machine", lambda: "riscv64", "does not know the relocations of riscv64"),
        ("shutil", "which", lambda _: None, "needs a C compiler, and cc is not there"),
        ("sysconfig", "get_path", lambda _: "/nonexistent", "needs Python.h"),
    ],
)
def test_unsupported(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, value: Any, reason: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.{name}", value, raising=False)
        supported = Oracle.supported()
        with pytest.raises(RuntimeError, match=f"^the oracle {reason}$"):
            oracle_package._extension.__wrapped__()
    assert supported == (False, reason)
    assert Oracle.supported() == (True, "")


def test_compiler_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "false")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"^the oracle could not be built: false "):
        oracle_package._extension.__wrapped__()
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert callable(oracle_package._extension.__wrapped__().start)
    assert list(tmp_path.iterdir()) == []
