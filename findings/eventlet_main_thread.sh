#!/usr/bin/env bash
# eventlet 0.41.3: after monkey_patch() the main thread is not the main thread.
#
# threading.current_thread() is a second object, of the same name and without the attribute
# native_id: it is not threading.main_thread(). What asks so whether it may handle signals, as
# servers do before they call signal.signal(), is told no in the only thread there is.
#
# Guessed before: it is, as it is with gevent.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env; env/bin/pip install -q eventlet==0.41.3 gevent==26.9.0 2>/dev/null
env/bin/python -W ignore - <<'PYTHON'
import subprocess
import sys

ASK = "import threading; t = threading.current_thread(); m = threading.main_thread(); "
ASK += "print(t is m, t.name, m.name, hasattr(t, \"native_id\"))"
seen = {}
for patch in ("import eventlet; eventlet", "import gevent.monkey as m; m", ""):
    call = patch and patch + (".monkey_patch(); " if "eventlet" in patch else ".patch_all(); ")
    command = [sys.executable, "-W", "ignore", "-c", call + ASK]
    seen[call] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    print(repr(call), seen[call])
assert list(seen.values()) == [
    "False MainThread MainThread False",
    "True MainThread MainThread True",
    "True MainThread MainThread True",
], "not as it was"
PYTHON
# Seen on 2026-11-28, Python 3.11.7:
# 'import eventlet; eventlet.monkey_patch(); ' False MainThread MainThread False
# 'import gevent.monkey as m; m.patch_all(); ' True MainThread MainThread True
# '' True MainThread MainThread True
