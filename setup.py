"""Build the extension modules; everything else about the package is in pyproject.toml.

Four environment variables choose what is built, each kind in a folder of its own under build/:

GILKNOCKER_DEBUG=1
    Assertions and live-object counters, debug information, little optimisation.
GILKNOCKER_SANITIZE=address | thread
    Under that sanitizer (address brings the undefined-behaviour one along).
GILKNOCKER_SYMBOLS=1
    A release build that keeps its symbols, for profilers.
GILKNOCKER_WERROR=1
    Every warning about a hand-written file is an error: development and CI.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, OptionError
from setuptools.modified import newer_group

DEBUG = os.environ.get("GILKNOCKER_DEBUG", "0") not in ("", "0")
WERROR = os.environ.get("GILKNOCKER_WERROR", "0") not in ("", "0")
SYMBOLS = os.environ.get("GILKNOCKER_SYMBOLS", "0") not in ("", "0")
SANITIZE = os.environ.get("GILKNOCKER_SANITIZE", "")

SANITIZERS = {
    "": [],
    "address": ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"],
    "thread": ["-fsanitize=thread", "-fno-omit-frame-pointer"],
}
if SANITIZE not in SANITIZERS:
    raise OptionError(f"GILKNOCKER_SANITIZE={SANITIZE!r}: 'address' or 'thread' is allowed")
if SANITIZE and sys.platform == "win32":
    raise OptionError("GILKNOCKER_SANITIZE: no sanitizer is known to work on Windows")

KIND = [
    "debug" if DEBUG else "release",
    SANITIZE,
    "symbols" if SYMBOLS else "",
    "werror" if WERROR else "",
]
BUILD = "build/" + "-".join(filter(None, KIND))
GENERATED = BUILD + "/cython"

# No methods to pickle what holds C++ objects, no __test__: nothing that the stubs do not know. No
# code objects for functions, which every import would make, and only introspection asks for.
DIRECTIVES = {
    "language_level": 3,
    "auto_pickle": False,
    "autotestdict": False,
    "binding": False,
}
EXPORTS = "cpp/exports.map"
OUTSIDE = "gilknocker._outside"  # all that only it needs has "outside" in its name
# Python's own flags come first, and the last one of a kind wins: say everything that matters.
if sys.platform == "win32":  # Visual C++ 2022, 17.5 or newer: Python's own compiler there
    SYSTEM = "windows"
    STANDARDS = {
        ".c": ["/std:c11", "/experimental:c11atomics"],
        ".cpp": ["/std:c++20", "/Zc:__cplusplus"],
    }
    WARNINGS = ["/W4", "/WX", "/external:anglebrackets", "/external:W0"]
    COMPILE = ["/utf-8", "/DNOMINMAX"]  # else <windows.h> has macros of the names min and max
    COMPILE += ["/Od", "/UNDEBUG", "/DGILKNOCKER_DEBUG=1"] if DEBUG else ["/O2", "/DNDEBUG"]
    LINK = []
else:
    SYSTEM = "posix"
    STANDARDS = {".c": ["-std=c11"], ".cpp": ["-std=c++20"]}
    WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
    COMPILE = ["-fvisibility=hidden", "-pthread", *SANITIZERS[SANITIZE]]
    LINK = ["-pthread", "-lm", *SANITIZERS[SANITIZE]]
    if DEBUG:
        COMPILE += ["-O1", "-g", "-UNDEBUG", "-D_GLIBCXX_ASSERTIONS", "-DGILKNOCKER_DEBUG=1"]
    else:
        COMPILE += ["-O2", "-g" if SANITIZE else "-g0", "-DNDEBUG"]
if sys.platform == "linux":
    # now: a hook inside CPython's lock must not be the first to call a function, and bind it.
    COMPILE += ["-fplt"]  # calls by name bypass an executable's stubs: see real_function.hpp
    LINK += ["-ldl", "-Wl,-z,now", f"-Wl,--version-script={EXPORTS}"]
    LINK += [] if DEBUG or SANITIZE or SYMBOLS else ["-Wl,-s"]


class BuildExt(build_ext):
    """Gives each source file the flags of its language, and compiles as many at once as cores."""

    def build_extensions(self) -> None:
        """Build, after a look at whether this machine can."""
        self._require_a_compiler()
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        """Compile the sources one by one; let setuptools link the objects."""
        sources = [hand for hand in ext.sources if not hand.endswith(".pyx")]
        for pyx in set(ext.sources) - set(sources):
            [translated] = cythonize(
                [Extension(ext.name, [pyx], language="c++")],
                build_dir=GENERATED,
                compiler_directives=DIRECTIVES,
            )
            sources += translated.sources
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ext.extra_objects = list(pool.map(lambda source: self._compile(source, ext), sources))
        if ext.language == "c++" and self._has_static_library():
            ext.extra_link_args = [*ext.extra_link_args, "-static-libstdc++"]
        ext.depends += ext.sources
        ext.sources = []
        super().build_extension(ext)

    def _compile(self, source: str, ext: Extension) -> str:
        [target] = self.compiler.object_filenames([source], output_dir=self.build_temp)
        if self.force or newer_group([source, *ext.depends], target, missing="newer"):
            flags = [*STANDARDS[Path(source).suffix], *COMPILE, *_python_headers()]
            if WERROR and Path(GENERATED) not in Path(source).parents:
                flags += WARNINGS
            self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                include_dirs=ext.include_dirs,
                extra_postargs=flags,
            )
        return target

    def _has_static_library(self) -> bool:
        """Whether the C++ library can be linked in: some systems have it in another package.

        To find and relocate the shared one takes longer than all else that the import does.
        """
        if sys.platform != "linux" or SANITIZE:
            return False
        asked = [self.compiler.compiler_so_cxx[0], "-print-file-name=libstdc++.a"]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        return os.path.isabs(answer)

    def _require_a_compiler(self) -> None:
        needs = "gilknocker is compiled from C11 and C++20 source on your machine, and "
        hint = ". On Debian or Ubuntu: apt-get install g++ python3-dev"
        if sys.platform == "win32":
            self.compiler.initialize()  # here, for it looks once only; says itself what is missing
            return
        for variable, command in (
            ("CC", self.compiler.compiler_so),
            ("CXX", self.compiler.compiler_so_cxx),
        ):
            if shutil.which(command[0]) is None:
                raise CompileError(
                    f"{needs}its compiler {command[0]!r} (${variable}) was not found{hint}"
                )
        header = Path(sysconfig.get_path("include"), "Python.h")
        if not header.exists():
            raise CompileError(f"{needs}Python's headers are missing: no {header}{hint}")


def _python_headers() -> list[str]:
    """Python's headers as system headers (which outdoes -I): its warnings are not ours."""
    if sys.platform == "win32":
        return []  # those that are given as <...> are
    folders = dict.fromkeys(sysconfig.get_path(name) for name in ("include", "platinclude"))
    return [flag for folder in folders for flag in ("-isystem", folder)]


def _extension(name: str, *patterns: str) -> Extension:
    headers = glob("cpp/**/*.h*", recursive=True) + glob("gilknocker/*.px[di]")
    return Extension(
        name,
        sources=sorted(
            source
            for pattern in patterns
            for source in glob(pattern)
            if ("outside" in source) <= (name == OUTSIDE)
        ),
        include_dirs=["cpp/include", "cpp/src"],
        depends=["setup.py", EXPORTS, *sorted(headers)],
        extra_link_args=LINK,
        language="c++" if patterns[0].endswith(".pyx") else "c",
    )


setup(
    cmdclass={"build_ext": BuildExt},
    options={"build": {"build_base": BUILD}},
    ext_modules=[
        _extension(
            "gilknocker._core",
            "gilknocker/_core.pyx",
            "cpp/src/*.cpp",
            f"cpp/src/{SYSTEM}/*.cpp",
            "cpp/src/cpython/*.cpp",
            "cpp/src/cpython/*.c",
        ),
        _extension("gilknocker._load", "cpp/src/testing/load.c"),
        _extension(
            OUTSIDE,
            "gilknocker/_outside.pyx",
            "cpp/src/outside_*.cpp",
            *(f"cpp/src/{room}.cpp" for room in ("code_reader", "frame_table", "holder_stack")),
            *(f"cpp/src/{room}.cpp" for room in ("line_table", "stack_reader")),
            "cpp/src/worker.cpp",
            f"cpp/src/{SYSTEM}/*.cpp",
            *(f"cpp/src/cpython/{room}_layout.c" for room in ("gil", "outside", "stack")),
        ),
    ],
)
