# shellcheck shell=bash
# What stages are made of.
skip() { echo "$*" >"$state/$stage.reason"; exit 77; }
# A hang costs a stage, not the whole run. In the foreground: in the process group of its stage.
limit() { timeout --foreground --kill-after=10 1800 "$@"; }
copy_tree() { # DIR: what a clone would have, and what is not committed yet
  rm -rf "$1"; mkdir -p "$1"
  git -C "$root" ls-files -z --cached --others --exclude-standard |
    tar -C "$root" --null --files-from=- --ignore-failed-read -cf - 2>/dev/null | tar -C "$1" -xf -
}
venv() { # DIR PYTHON
  rm -rf "$1"; "$2" -m venv "$1"
}
suite() { # VENV [TESTS]: tests away from gilknocker/ and cpp/, so that the installed package is met
  local there=$work/$stage-tests name
  rm -rf "$there"; mkdir "$there"
  for name in tests benchmarks docs examples pyproject.toml; do
    [[ ! -e $work/tree/$name ]] || cp -r "$work/tree/$name" "$there/"
  done
  cd "$there"; limit "$1/bin/pytest" "${@:2}"
}
main_wheel() { # prints the wheel for the machine's own python3, which the first to ask has built
  flock "$work/wheel.lock" bash -e -c 'compgen -G "$1/*.whl" >/dev/null ||
    "$0" -m pip wheel -q --no-deps -w "$1" "$2" >&2' "$work/tools/bin/python" "$work/wheel" "$sdist"
  echo "$work"/wheel/*.whl
}
find_python() { # X.Y[td]: prints an interpreter that can build extensions; one that is there
  local candidate
  for candidate in "$HOME"/.pyenv/versions/"$1".*/bin/python $(type -ap "python$1") \
    "$work/pythons/$1/bin/python"; do
    "$candidate" - "$1" 2>/dev/null <<-'PYTHON' && { echo "$candidate"; return; }
	import ensurepip, os, sys, sysconfig, venv
	kind = "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
	kind += "d" * hasattr(sys, "gettotalrefcount")
	assert "%d.%d" % sys.version_info[:2] + kind == sys.argv[1]
	assert sys.implementation.name == "cpython"
	assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
	PYTHON
  done
  return 1
}
with_apt() { flock "$work/apt.lock" "$@"; } # apt's own lock makes the second one fail
need() { # COMMAND PACKAGE: that Debian has it in
  ! command -v "$1" >/dev/null || return 0
  ((EUID == 0)) && command -v apt-get >/dev/null || skip "no $1, and not root to install it"
  with_apt bash -c 'apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
    apt-get -y -qq --no-install-recommends install "$0"' "$2" || skip "$2 could not be installed"
}
unpack() { # DIR PACKAGE: Debian's, without installing it, which may start a service
  mkdir -p "$1"; cd "$1"
  with_apt bash -c '((EUID)) || apt-get -qq update; apt-get -qq download "$0" && dpkg -x "$0"_*.deb .' "$2"
}
