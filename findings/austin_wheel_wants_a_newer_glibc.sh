#!/usr/bin/env bash
# austin-dist 4.0.0: its wheel says manylinux_2_12, and its program needs glibc 2.38.
#
# A tag manylinux_2_12 promises that what is inside runs with glibc 2.12 or newer, so pip installs it on
# every Linux of the last fifteen years. The sampler inside needs 2.38, of 2023: on Debian 12 (2.36) it
# does not start ("version `GLIBC_2.38' not found"), and pip neither refuses the wheel nor takes an older
# release. The wheel is made by a script of its own (its WHEEL says "Generator: austin-dist
# build-wheel.py").
#
# Guessed before: what pip installs from a manylinux wheel can be started.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
[[ $(uname -sm) == "Linux x86_64" ]] || { echo "a wheel for Linux on x86-64"; exit 2; }
python3 -m venv env
env/bin/pip install -q austin-dist==4.0.0 2>pip.log || { cat pip.log; exit 2; }
env/bin/python - <<'PYTHON'
import importlib.metadata
import re
from pathlib import Path

wheel = importlib.metadata.distribution("austin-dist").read_text("WHEEL")
[tag] = re.findall(r"^Tag: py3-none-(manylinux_\d+_\d+)", wheel, re.MULTILINE)
program = Path("env/bin/austin").read_bytes()
newest = max((int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", program))
print(f"the tag: {tag}; the program: glibc {newest[0]}.{newest[1]}")
assert tag == "manylinux_2_12" and newest == (2, 38), (tag, newest)
PYTHON
# Seen on 2026-11-29, Python 3.11.2 and 3.12.1:
# the tag: manylinux_2_12; the program: glibc 2.38
