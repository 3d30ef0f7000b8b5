# shellcheck shell=bash
# Other libraries and systems than this machine's. Only when named.
install_zig() { # VENV: a compiler for many systems, from PyPI; what it builds of their libraries
  export ZIG_GLOBAL_CACHE_DIR=${ZIG_GLOBAL_CACHE_DIR:-$work/zig-cache} # takes minutes, once
  venv "$1" python3
  "$1/bin/pip" install -q ziglang "Cython>=3.1" "setuptools>=77"
  printf '#!/bin/sh\nexec "%s" -m ziglang "$@"\n' "$1/bin/python" >"$1/bin/zig"
  chmod +x "$1/bin/zig"
}
first_link() { # COMPILER: which builds the C++ library that zig brings, in a time of its own
  limit "$@" -O1 -x c++ - -o "$work/$stage-program" <<<'int main() {}'
}
prepare_musl() { # a Python for it is to be had from Alpine only: built here, from Debian's sources
  local compiler=$work/musl-python/bin/musl-c++
  ((EUID == 0)) || skip "not root, to get sources through apt"
  with_apt timeout --foreground --kill-after=10 1800 "$work/tree/.ci/musl-python" "$work/musl-python"
  first_link "$compiler"
  CXX=$compiler GILKNOCKER_CPP_BUILD=$work/cpp-musl limit "$work/tree/cpp/tests/run"
  "$work/musl-python/python/bin/python" -m pip install -q --force-reinstall --no-index \
    --no-build-isolation --no-deps "$sdist"
  readelf --dynamic "$work"/musl-python/python/lib/python*/site-packages/gilknocker/_core.*.so |
    grep -F '[libc.so]' # musl's has no number
}
measure_musl() {
  local there=$work/musl-python/python/bin/python
  suite "$work/musl-python/python"
  # Read from outside by the machine's own, which has another libc.
  venv "$work/beside-musl" python3
  "$work/beside-musl/bin/pip" install -q --only-binary=numpy,hypothesis "$(main_wheel)[test]"
  GILKNOCKER_TARGET=$there suite "$work/beside-musl" tests/meters/outside/test_builds.py
}
prepare_cross() { # a Python of those systems, to import the extensions, is not to be had here
  local target headers zig=$work/cross/bin/zig wine=/usr/lib/wine/wine64
  need qemu-aarch64 qemu-user; need "$wine" wine64
  # Not zig's library, which glibc cannot unwind when it ends a thread.
  need aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
  install_zig "$work/cross"
  copy_tree "$work/cross-tree"; cd "$work/cross-tree"
  foreign_tests aarch64-linux-gnu-g++ "qemu-aarch64 -L /usr/aarch64-linux-gnu"
  export WINEPREFIX=$work/wine WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml='
  zig_tests x86_64-windows-gnu "$wine"
  # As setup.py has it translated.
  "$work/cross/bin/cython" --cplus -X auto_pickle=False -X autotestdict=False -o core.cpp \
    gilknocker/_core.pyx
  windows_headers "$work/windows-python"
  foreign_extensions x86_64-windows-gnu "$work/windows-python" -DMS_WIN64
  # Of this machine's Python: near enough to compile with.
  headers=$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')
  for target in aarch64-macos x86_64-macos; do
    zig_tests "$target" true
    foreign_extensions "$target" "$headers"
  done
}
zig_tests() { # TARGET RUN
  first_link "$zig" c++ -target "$1"
  foreign_tests "$zig c++ -target $1" "$2"
}
foreign_tests() { # COMPILER RUN
  echo "== C++ tests by $1, run by $2"
  CXX=$1 GILKNOCKER_CPP_RUN=$2 GILKNOCKER_CPP_BUILD=$work/cpp-${1##* } limit cpp/tests/run
}
foreign_extensions() { # TARGET HEADERS [FLAG]
  local source language strict
  echo "== extensions for $1"
  for source in core.cpp cpp/src/cpython/*.c* cpp/src/testing/load.c; do
    [[ $source == *.c ]] && language="cc -std=c11" || language="c++ -std=c++20"
    [[ $source == core.cpp ]] && strict="" || strict="-Wall -Wextra -Wconversion -Werror"
    "$zig" $language -target "$1" -O2 -Icpp/include -Icpp/src -isystem "$2" ${3-} $strict \
      -c "$source" -o "$work/cross-object.o"
  done
}
windows_headers() { # DIR: CPython's, and its pyconfig.h for Windows, from the source in Debian
  local apt=$work/apt-source uri codename
  codename=$(. /etc/os-release; echo "$VERSION_CODENAME")
  uri=$(apt-get indextargets --format '$(REPO_URI)' | awk 'NR == 1')
  [[ $uri ]] || skip "no Debian mirror known to apt, to get the headers of Python for Windows from"
  rm -rf "$apt" "$1"; mkdir -p "$apt"/{lists,cache/archives}/partial "$1"
  for x in "$codename" sid; do echo "deb-src $uri $x main"; done >"$apt/sources.list"
  local options=(-qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  (cd "$apt"; apt-get "${options[@]}" source --download-only --tar-only "python$main_python")
  tar -xf "$apt"/python*.orig.tar.* -C "$1" --strip-components=2 --wildcards '*/Include/*'
  tar -xf "$apt"/python*.orig.tar.* -C "$1" --strip-components=2 --wildcards '*/PC/pyconfig.h*'
  [[ -e $1/pyconfig.h ]] || mv "$1/pyconfig.h.in" "$1/pyconfig.h" # its name since 3.13
}
