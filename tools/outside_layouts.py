"""Write gilknocker/meters/outside/layouts.py: ``python tools/outside_layouts.py PYTHON...``.

Each PYTHON is an interpreter with its headers, one a minor version: our own C file is compiled
against them and asked. The offsets hold for all release builds of that minor version.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "gilknocker" / "meters" / "outside" / "layouts.py"
SOURCES = [ROOT / f"cpp/src/cpython/{name}_layout.c" for name in ("gil", "outside", "stack")]
ASK = """
import ctypes, json, sys
class Field(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_uint64)]
ask = ctypes.PyDLL(sys.argv[1]).gilknocker_own_layout
ask.restype = ctypes.c_char_p
fields, count = (Field * 64)(), ctypes.c_size_t()
problem = ask(fields, ctypes.c_size_t(64), ctypes.byref(count))
assert problem is None, problem
print(json.dumps([sys.version_info[:2], {f.name.decode(): f.value for f in fields[:count.value]}]))
"""
HEAD = '''"""Where each minor version of CPython keeps what is read of another process, in bytes.

Written by tools/outside_layouts.py from the headers of release builds with a GIL, for 64-bit
machines. `gilknocker.meters.outside.target` proves them on each process before it believes them.
"""

from __future__ import annotations

LAYOUTS: dict[tuple[int, int], dict[str, int]] = {
'''


def layout(python: str) -> tuple[tuple[int, int], dict[str, int]]:
    """Return the version of a Python, and where it keeps what."""
    include = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('include'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "layout.so")
        flags = ["-std=c11", "-shared", "-fPIC", f"-I{ROOT}/cpp/include", f"-I{ROOT}/cpp/src"]
        command = ["cc", *flags, "-isystem", include, *SOURCES, "-o", library, "-lm"]
        subprocess.run(command, check=True)
        said = subprocess.run([python, "-c", ASK, library], check=True, capture_output=True)
    version, fields = json.loads(said.stdout)
    return (version[0], version[1]), fields


def main() -> None:
    """Ask each Python of the command line."""
    found = dict(layout(python) for python in sys.argv[1:])
    text = HEAD
    for version in sorted(found):
        text += f"    {version}: {{\n"
        text += "".join(f'        "{name}": {value},\n' for name, value in found[version].items())
        text += "    },\n"
    TARGET.write_text(text + "}\n")


if __name__ == "__main__":
    main()
