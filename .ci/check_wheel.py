"""Check what wheels hold: ``check_wheel.py WHEEL...``; those of Linux, with binutils installed.

No sources of extensions; stubs, licences and entry points; extensions that are stripped, give only
their init function, and use no library and no private symbol of Python that is not listed here.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ALLOWED = re.compile(
    r"gilknocker/([a-z_]+/){0,2}[a-z_]+\.pyi?"
    r"|gilknocker/integrations/pyinstaller/hook-gilknocker\.py"
    r"|gilknocker/py\.typed"
    r"|gilknocker/_(core|load|outside)\.[\w.-]+\.so"
    r"|gilknocker-[^/]+\.dist-info/([A-Za-z_]+(\.txt)?|licenses/LICENSE(-MIT)?|sboms/[^/]+)"
    r"|gilknocker\.libs/lib(gcc_s|stdc\+\+)-[0-9a-f]+\.so[\d.]*"  # of auditwheel, on musl
)
ROOT = Path(__file__).parent.parent
REQUIRED = (
    "gilknocker/py.typed",
    *(
        str(path.relative_to(ROOT))
        for suffix in ("py", "pyi")
        for path in sorted(ROOT.glob(f"gilknocker/**/*.{suffix}"))
    ),
    *(f"dist-info/{name}" for name in ("licenses/LICENSE", "licenses/LICENSE-MIT")),
    *(f"dist-info/{name}" for name in ("METADATA", "entry_points.txt")),
)
LIBRARIES = re.compile(
    r"lib(c|m|dl|pthread|gcc_s|stdc\+\+|c\.musl-\w+)\.so(\.\d+)?|ld-linux[\w.-]+"
)
# Where its lock is, and what Cython uses of CPython 3.10 to 3.15.
PRIVATE = {
    *("_PyRuntime", "_Py_Dealloc", "_Py_IsFinalizing"),
    *("_Py_FalseStruct", "_Py_NoneStruct", "_Py_NotImplementedStruct", "_Py_TrueStruct"),
    *("_PyDict_GetItem_KnownHash", "_PyDict_NewPresized"),
    *("_PyObject_ClearManagedDict", "_PyObject_VisitManagedDict", "_PyObject_GC_New"),
    *("_PyObject_GenericGetAttrWithDict", "_PyObject_GetDictPtr"),
    *("_PyThreadState_UncheckedGet", "_PyUnicode_FastCopyCharacters", "_PyUnicode_Ready"),
}


def problems(wheel: zipfile.ZipFile) -> list[str]:
    """Return what is wrong with a wheel, a line each."""
    names = [name for name in wheel.namelist() if not name.endswith("/")]
    wrong = [f"must not be in the wheel: {name}" for name in names if not ALLOWED.fullmatch(name)]
    wrong += [
        f"not in the wheel: {name}"
        for name in REQUIRED
        if not any(have == name or have.endswith("." + name) for have in names)
    ]
    extensions = [name for name in names if name.startswith("gilknocker/") and name.endswith(".so")]
    if len(extensions) != 3:
        wrong.append(f"three extensions must be in the wheel, not {len(extensions)}")
    with tempfile.TemporaryDirectory() as scratch:
        for name in extensions:
            wrong += [
                f"{name}: {what}" for what in extension_problems(wheel.extract(name, scratch))
            ]
    return wrong


def extension_problems(path: str) -> list[str]:
    """Return what is wrong with a shared library."""
    wrong = []
    sections = said("readelf", "--sections", "--wide", path)
    wrong += [f"has {name}" for name in (".symtab", ".debug_info") if name in sections]
    init = "PyInit_" + Path(path).name.partition(".")[0]
    given = symbols("--defined-only", path) - {init}
    wrong += [f"gives {name}" for name in sorted(given)]
    used = {name for name in symbols("--undefined-only", path) if name.startswith("_Py")}
    wrong += [f"uses {name}" for name in sorted(used - PRIVATE)]
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", said("readelf", "--dynamic", path))
    wrong += [f"needs {name}" for name in needed if not LIBRARIES.fullmatch(name)]
    return wrong


def symbols(which: str, path: str) -> set[str]:
    """Return the names in the table of dynamic symbols, without versions."""
    lines = said("nm", "--dynamic", "--format=posix", which, path).splitlines()
    return {line.split()[0].partition("@")[0] for line in lines}


def said(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    found = []
    for argument in sys.argv[1:]:
        with zipfile.ZipFile(argument) as archive:
            found += problems(archive)
    print("\n".join(found) or "the wheels hold what they should")
    sys.exit(bool(found))
