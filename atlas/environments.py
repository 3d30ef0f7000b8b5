"""The environments that cases run in: one a field, with pinned packages."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TRIES = 3  # a network may fail for a moment
TIMEOUT_SECONDS = 900


_WANTED = ("install", "--prefer-binary", "-r")


class NoEnvironmentError(Exception):
    """A field's environment could not be made."""


class Environments:
    """The environments of a version of Python.

    Parameters
    ----------
    version : str
        Whose locks are taken.
    interpreter : str
        A Python to make them with.
    build : Path
        Where they are.
    lock : bool
        Write the lock files anew.
    """

    def __init__(self, version: str, interpreter: str, build: Path, lock: bool = False) -> None:
        self._version = version
        self._interpreter = interpreter
        self._folder = build / version
        self._lock = lock
        self._building = threading.Lock()
        self._wheels: list[Path] = []
        self._made: dict[str, str | NoEnvironmentError] = {}

    def make(self, fields: Iterable[str]) -> None:
        """Make those of some fields, two at a time; what fails is told by `python`."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self._try, dict.fromkeys(fields)))

    def python(self, field: str) -> str:
        """Return the Python of a field's environment.

        Raises
        ------
        NoEnvironmentError
            If there is none, with the reason.
        """
        made = self._made.get(field) or self._try(field)
        if isinstance(made, NoEnvironmentError):
            raise made
        return made

    def _try(self, field: str) -> str | NoEnvironmentError:
        try:
            self._made[field] = self._make(field)
        except (OSError, subprocess.SubprocessError) as error:
            self._made[field] = NoEnvironmentError(f"no environment: {error}")
        return self._made[field]

    def _make(self, field: str) -> str:
        folder = self._folder / field
        python = folder / "bin" / "python"
        if not python.exists():
            _run(self._interpreter, "-m", "venv", folder)
        self._install(python, field)
        _run(*_pip(python), "install", "--no-deps", "--force-reinstall", self._wheel(python))
        return str(python)

    def _install(self, python: Path, field: str) -> None:
        lock = HERE / "locks" / self._version / f"{field}.txt"
        if self._lock:
            _patiently(*_pip(python), *_WANTED, HERE / "requirements" / f"{field}.txt")
            freeze = [*_pip(python), "freeze", "--exclude", "gilknocker"]
            lock.parent.mkdir(parents=True, exist_ok=True)
            lock.write_bytes(subprocess.run(freeze, check=True, stdout=subprocess.PIPE).stdout)
            return
        pinned = lock.read_text()
        done = self._folder / f"{field}.installed"
        if done.exists() and done.read_text() == pinned:
            return
        install = [*_pip(python), "install", "--no-deps", "--no-compile"]  # a lock names them all
        try:
            _patiently(*install, "-r", lock)
            done.write_text(pinned)
        except subprocess.SubprocessError:
            # One package that cannot be had is no reason to go without the others.
            for package in pinned.split():
                subprocess.run([*install, package], check=False, timeout=TIMEOUT_SECONDS)

    def _wheel(self, python: Path) -> Path:
        # Of what stands here, built once a run.
        with self._building:
            if not self._wheels:
                folder = self._folder / "wheel"
                shutil.rmtree(folder, ignore_errors=True)
                _patiently(*_pip(python), "wheel", "--no-deps", "-w", folder, ROOT)
                self._wheels += folder.glob("*.whl")
        return self._wheels[0]


def _pip(python: Path) -> list[str | Path]:
    return [python, "-m", "pip", "-q", "--disable-pip-version-check"]


def _run(*words: str | Path) -> None:
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_SECONDS)


def _patiently(*words: str | Path) -> None:
    for left in reversed(range(TRIES)):
        try:
            return _run(*words)
        except subprocess.SubprocessError:
            if not left:
                raise
