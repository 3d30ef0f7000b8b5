#!/usr/bin/env bash
# memory-profiler 0.61.0: if what is measured raises, every child of the process is killed.
#
# memory_usage((function, args)) calls the function, while a process of its own takes the memory. An
# exception of the function comes out, as it should. Before that, to be rid of its own process, it sends
# SIGKILL to each of psutil's children(recursive=True) of this one (the except in memory_usage): a database
# that the tests started, workers of a pool, and their children. Nothing tells so, and what fails is
# something else, later. %memit goes the same way: a typing error after it takes a notebook's workers away.
# If nothing is raised, only its own process ends. A function that catches and returns its exception is a
# way round.
#
# Guessed before: the exception is raised again, and others' processes are left alone.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env; env/bin/pip install -q memory-profiler==0.61.0 psutil==7.2.2 2>/dev/null
cat > measured.py <<'PYTHON'
import subprocess

from memory_profiler import memory_usage

def returns():
    return int("1")

def raises():
    return int("one")

if __name__ == "__main__":
    seen = {}
    for function in (returns, raises):
        with subprocess.Popen(["sleep", "30"]) as server:  # has nothing to do with the function
            try:
                memory_usage((function, ()))
            except ValueError as error:
                print(f"ValueError: {error}")
            try:
                seen[function.__name__] = server.wait(timeout=2)
            except subprocess.TimeoutExpired:
                seen[function.__name__] = "runs"
                server.terminate()
    print("the server, after what", seen)
    assert seen == {"returns": "runs", "raises": -9}, "not as it was"
PYTHON
env/bin/python measured.py
# Seen on 2026-11-30, Python 3.11.7:
# ValueError: invalid literal for int() with base 10: 'one'
# the server, after what {'returns': 'runs', 'raises': -9}
