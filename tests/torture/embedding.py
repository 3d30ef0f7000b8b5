"""A C program that embeds the Python that runs this: it begins and ends it again and again."""

from __future__ import annotations

import os
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

SOURCE = r"""
#include <Python.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  for (int life = 0; life < atoi(argv[1]); ++life) {
    char number[32];
    snprintf(number, sizeof number, "life = %d", life);
    Py_InitializeEx(0);
    const int failed = PyRun_SimpleString(number) != 0 || PyRun_SimpleString(argv[2]) != 0;
    const int lost = Py_FinalizeEx() != 0;
    if (failed || lost) {
      fprintf(stderr, "life %d: program %d, end %d\n", life, failed, lost);
      return 1;
    }
  }
  return 0;
}
"""

# The first life has it, running to its end. Ours tells the others why not; where somebody else's is
# to be had again, it must work.
PROGRAM = """
import os, time
def threads():
    names = []
    for task in os.listdir('/proc/self/task'):
        try:
            with open(f'/proc/self/task/{task}/comm') as comm:
                names.append(comm.read())
        except OSError:  # it ended meanwhile
            pass
    return [name for name in names if name.startswith('gilknock')]
end = time.monotonic() + 20
while threads():  # one that was joined is there for a moment longer
    assert time.monotonic() < end, threads()
    time.sleep(0.001)
ours = False
try:
    import gilknocker
    ours = 'Snapshot' in dir(gilknocker)
    from gilknocker import KnockKnock
except ImportError as error:
    assert life and ('Py_Finalize' in str(error) or not ours), (life, error)
else:
    assert not (life and ours), life
    knocker = KnockKnock(polling_interval_micros=1000)
    knocker.start()
    time.sleep(0.01)
    assert knocker.is_running
if ours and not life:
    from gilknocker import GilTracer
    if GilTracer.supported()[0]:
        tracer = GilTracer(100)
        tracer.start()
"""


def missing() -> str:
    """Say why no such program can be built for this Python."""
    if shutil.which(compiler()[0]) is None:
        return "no C compiler"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "no Python headers"
    if _library() is None:
        return "this Python has no libpython to link with"
    try:
        built()
    except subprocess.CalledProcessError:  # of another machine, with a newer libc
        return "this Python's library cannot be linked with"
    return ""


def compiler() -> list[str]:
    """Return the interpreter's own compiler, or else any: builders' names differ from ours."""
    command = shlex.split(sysconfig.get_config_var("CC") or "cc")
    return command if shutil.which(command[0]) else ["cc"]


def _library() -> Path | None:
    version = f"python{sysconfig.get_config_var('LDVERSION')}"
    folders = (sysconfig.get_config_var(name) for name in ("LIBDIR", "LIBPL"))
    for folder in filter(None, folders):
        for suffix in (".so", ".a"):
            found = Path(folder, f"lib{version}{suffix}")
            if found.exists():
                return found
    return None


def built() -> str:
    """Return the program, built if it has not been yet; :func:`missing` must have said nothing.

    Raises
    ------
    subprocess.CalledProcessError
        If it cannot be compiled and linked.
    """
    library = _library()
    assert library is not None
    tag = f"{sysconfig.get_config_var('SOABI')}-{os.getuid()}"
    program = Path(tempfile.gettempdir(), f"embedding-{tag}-{hash_of(SOURCE + sys.base_prefix)}")
    if not program.exists():
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch, "embedding.c")
            source.write_text(SOURCE)
            target = Path(scratch, "embedding")
            command = [*compiler(), source, "-o", target]
            command += ["-I", sysconfig.get_path("include"), library]
            command += ["-rdynamic", *libraries_of(library)]
            for name in ("LIBS", "SYSLIBS", "LINKFORSHARED"):
                command += (sysconfig.get_config_var(name) or "").split()
            subprocess.run(command, check=True, capture_output=True, timeout=300)
            shutil.move(target, program.with_suffix(f".{os.getpid()}"))
        program.with_suffix(f".{os.getpid()}").rename(program)
    return str(program)


def libraries_of(library: Path) -> list[str]:
    """Return how the program finds the library and, where Python came with one, its libc."""
    loader = next(Path(sys.base_prefix).rglob("ld-linux-*.so.*"), None)
    if loader is None:
        return [f"-Wl,-rpath,{library.parent}"]
    folders = dict.fromkeys([loader.parent, library.parent])
    return [
        f"-Wl,--dynamic-linker={loader}",
        f"-Wl,--disable-new-dtags,-rpath,{':'.join(map(str, folders))}",
        "-Wl,--unresolved-symbols=ignore-all",  # this machine's libc is older
    ]


def run(lives: int) -> subprocess.CompletedProcess[str]:
    """Begin and end Python so many times in one process, each with `PROGRAM`."""
    return subprocess.run(
        [built(), str(lives), PROGRAM],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def hash_of(text: str) -> str:
    """Return a short name for `text`, the same in every process."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:12]


def environment() -> dict[str, str]:
    """Return an environment in which the program finds the library and what is installed here."""
    packages = [*site.getsitepackages(), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": os.pathsep.join(packages),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
