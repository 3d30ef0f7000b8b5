#!/usr/bin/env bash
# cryptography 50.0.2: encrypting keeps the GIL for as long as it takes, hashing does not.
#
# AESGCM(key).encrypt() and ChaCha20Poly1305(key).encrypt() do their whole work with the GIL held: with
# some hundred MB no other thread of the process runs for a tenth of a second. Hash.update() of the
# same package, by the same OpenSSL, lets others run all along. A server that encrypts large messages in
# a pool of threads, to keep its event loop free, does not keep it free.
#
# Guessed before: both let others run; hashlib, ssl and bcrypt do.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env; env/bin/pip install -q cryptography==50.0.2 2>/dev/null
env/bin/python - <<'PYTHON'
import os
import threading
import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256, Hash

data = bytes(400_000_000)
beats, stop = [], threading.Event()


def heart() -> None:
    while not stop.is_set():
        time.sleep(0.001)
        beats.append(time.perf_counter())


threading.Thread(target=heart).start()
calls = {
    "AESGCM.encrypt": lambda: AESGCM(os.urandom(32)).encrypt(bytes(12), data, None),
    "ChaCha20Poly1305.encrypt": lambda: ChaCha20Poly1305(os.urandom(32)).encrypt(bytes(12), data, None),
    "Hash.update": lambda: Hash(SHA256()).update(data),
}
longest = {}
for name, call in calls.items():
    begin = time.perf_counter()
    call()
    end = time.perf_counter()
    within = [begin, *(beat for beat in beats if begin < beat < end), end]
    longest[name] = max(b - a for a, b in zip(within, within[1:])) / (end - begin)
    print(f"{name}: nobody else ran for {longest[name]:.0%} of its time in one piece")
stop.set()
assert longest["AESGCM.encrypt"] > 0.4, "not as it was"
assert longest["ChaCha20Poly1305.encrypt"] > 0.4, "not as it was"
assert longest["Hash.update"] < 0.4, "not as it was"
PYTHON
