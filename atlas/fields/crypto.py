"""Digests, ciphers, keys and passwords beside those of the standard library."""

from __future__ import annotations

import importlib
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case


def _with(module: str, made: Any = None) -> Any:
    return importlib.import_module(module), made


def _size(module: str, size: int) -> Any:
    return importlib.import_module(module), bytes(size)


@case(
    "cryptography",
    "Fernet(key).encrypt(data)",
    size="60 MB",
    set_up=lambda: _size("cryptography.fernet", 60_000_000),
    guess="keeps",
    why="lets go for cipher and digest; copies and base64 keep (Fernet._encrypt_from_parts)",
)
def fernet(state: Any) -> Any:
    return state[0].Fernet(b"A" * 43 + b"=").encrypt(state[1])


@case(
    "cryptography",
    "AESGCM(key).encrypt(...)",
    size="600 MB",
    set_up=lambda: _size("cryptography.hazmat.primitives.ciphers.aead", 600_000_000),
    guess="keeps",
    why="zeroes its result with the GIL held, lets go for the cipher (backend/aead.rs)",
)
def aesgcm(state: Any) -> Any:
    return state[0].AESGCM(bytes(32)).encrypt(bytes(12), state[1], None)


@case(
    "cryptography",
    "ChaCha20Poly1305(key).encrypt(...)",
    size="500 MB",
    set_up=lambda: _size("cryptography.hazmat.primitives.ciphers.aead", 500_000_000),
    guess="keeps",
    why="zeroes its result with the GIL held, lets go for the cipher (backend/aead.rs)",
)
def chacha(state: Any) -> Any:
    return state[0].ChaCha20Poly1305(bytes(32)).encrypt(bytes(12), state[1], None)


@case(
    "cryptography",
    "Hash(SHA256()).update(data)",
    size="700 MB",
    set_up=lambda: _size("cryptography.hazmat.primitives.hashes", 700_000_000),
    guess="keeps",
    why="lets go for inputs of 2,048 bytes and more (backend/hashes.rs)",
)
def cryptography_sha256(state: Any) -> Any:
    digest = state[0].Hash(state[0].SHA256())
    digest.update(state[1])
    return digest.finalize()


@case(
    "cryptography",
    "rsa.generate_private_key(...)",
    size="2,048 bits, 12 times",
    set_up=lambda: _with("cryptography.hazmat.primitives.asymmetric.rsa"),
    guess="releases",
    why="py.detach() around the search for primes (backend/rsa.rs)",
)
def rsa_key(state: Any) -> Any:
    return [state[0].generate_private_key(65_537, 2_048) for _ in range(12)]


@case(
    "cryptography",
    "rsa key.sign(...)",
    size="2,048 bits, 1,500 times",
    set_up=lambda: _rsa(),
    guess="keeps",
    why="py.detach() around each signature (backend/rsa.rs)",
)
def rsa_sign(key: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    for _i in range(1_500):
        key.sign(b"data", PKCS1v15(), SHA256())


def _rsa() -> Any:
    rsa = importlib.import_module("cryptography.hazmat.primitives.asymmetric.rsa")
    return rsa.generate_private_key(65_537, 2_048)


@case(
    "cryptography",
    "PBKDF2HMAC(...).derive(password)",
    size="3,000,000 rounds",
    set_up=lambda: _with("cryptography.hazmat.primitives.kdf.pbkdf2"),
    guess="releases",
    why="py.detach() around the derivation (backend/kdf.rs)",
)
def cryptography_pbkdf2(state: Any) -> Any:
    from cryptography.hazmat.primitives.hashes import SHA256

    return state[0].PBKDF2HMAC(SHA256(), 32, b"salt", 3_000_000).derive(b"password")


@case(
    "cryptography",
    "Scrypt(...).derive(password)",
    size="n = 2 ** 17",
    set_up=lambda: _with("cryptography.hazmat.primitives.kdf.scrypt"),
    guess="releases",
    why="py.detach() around the derivation (backend/kdf.rs)",
)
def cryptography_scrypt(state: Any) -> Any:
    return state[0].Scrypt(b"salt", 32, 2**17, 8, 1).derive(b"password")


@case(
    "cryptography",
    "dh.generate_parameters(...)",
    size="512 bits, 8 times",
    set_up=lambda: _with("cryptography.hazmat.primitives.asymmetric.dh"),
    guess="releases",
    why="py.detach() around the search for a prime (backend/dh.rs)",
)
def dh_parameters(state: Any) -> Any:
    return [state[0].generate_parameters(2, 512) for _ in range(8)]


@case(
    "PyNaCl",
    "SecretBox(key).encrypt(data)",
    size="140 MB",
    set_up=lambda: _size("nacl.secret", 140_000_000),
    guess="releases",
    why="cffi lets go around the cipher; the copies before and after are made with it",
)
def nacl_box(state: Any) -> Any:
    return state[0].SecretBox(bytes(32)).encrypt(state[1], bytes(24))


@case(
    "PyNaCl",
    "nacl.pwhash.argon2id.kdf(...)",
    size="interactive, 5 times",
    set_up=lambda: _with("nacl.pwhash"),
    guess="releases",
    why="cffi lets go around each call",
)
def nacl_pwhash(state: Any) -> Any:
    return [
        state[0].argon2id.kdf(32, b"password", bytes(16), opslimit=2, memlimit=67_108_864)
        for _ in range(5)
    ]


@case(
    "argon2-cffi",
    "PasswordHasher().hash(password)",
    size="3 times",
    set_up=lambda: _with("argon2"),
    guess="releases",
    why="cffi lets go around each call",
)
def argon2_hash(state: Any) -> Any:
    return [state[0].PasswordHasher(parallelism=1).hash("password") for _ in range(3)]


@case(
    "bcrypt",
    "bcrypt.hashpw(password, salt)",
    size="12 rounds, 2 times",
    set_up=lambda: _with("bcrypt"),
    guess="releases",
    why="py.detach() around the whole (src/_bcrypt/src/lib.rs)",
)
def bcrypt_hashpw(state: Any) -> Any:
    return [state[0].hashpw(b"password", b"$2b$12$abcdefghijklmnopqrstuu") for _ in range(2)]


@case(
    "pycryptodome",
    "AES.new(key, MODE_GCM).encrypt(data)",
    size="500 MB",
    set_up=lambda: _size("Crypto.Cipher.AES", 500_000_000),
    guess="keeps",
    why="loaded by cffi or ctypes, which let go",
)
def pycryptodome_gcm(state: Any) -> Any:
    return state[0].new(bytes(32), state[0].MODE_GCM, nonce=bytes(12)).encrypt(state[1])


@case(
    "xxhash",
    "xxhash.xxh64(data)",
    size="1 GB, 7 times",
    set_up=lambda: _size("xxhash", 1_000_000_000),
    guess="releases",
    why="lets go for inputs above 65,536 bytes (src/_xxhash.c)",
)
def xxh64(state: Any) -> Any:
    return [state[0].xxh64(state[1]).digest() for _ in range(7)]


@case(
    "blake3",
    "blake3(data)",
    size="1 GB, 3 times",
    set_up=lambda: _size("blake3", 1_000_000_000),
    guess="releases",
    why="py.detach() for inputs of 2,048 bytes and more (src/lib.rs)",
)
def blake3_hash(state: Any) -> Any:
    return [state[0].blake3(state[1]).digest() for _ in range(3)]


@case(
    "mmh3",
    "mmh3.hash128(data)",
    size="3 GB",
    set_up=lambda: _size("mmh3", 3_000_000_000),
    guess="keeps",
    why="one call of compiled code: nothing in its sources lets go",
)
def mmh3_hash(state: Any) -> Any:
    return state[0].hash128(state[1])


@case(
    "google-crc32c",
    "google_crc32c.value(data)",
    size="1 GB, 10 times",
    set_up=lambda: _size("google_crc32c", 1_000_000_000),
    guess="keeps",
    why="lets go for large inputs, if they are bytes (src/google_crc32c/_crc32c.c)",
)
def crc32c(state: Any) -> Any:
    return [state[0].value(state[1]) for _ in range(10)]


@case(
    "gmpy2",
    "gmpy2.powmod(a, b, m)",
    size="14,000 bits",
    set_up=lambda: _with("gmpy2", (1 << 14_000) - 3),
    guess="keeps",
    why="lets go only if its context says so (GMPY_MAYBE_BEGIN_ALLOW_THREADS, gmpy2_pow.c)",
)
def gmpy2_powmod(state: Any) -> Any:
    return state[0].powmod(3, state[1] - 2, state[1])


@case(
    "coincurve",
    "PrivateKey(...).sign(message)",
    size="16,000 times",
    set_up=lambda: _with("coincurve"),
    guess="mixed",
    why="cffi lets go around each call",
)
def coincurve_sign(state: Any) -> None:
    key = state[0].PrivateKey(b"\1" * 32)
    for _i in range(16_000):
        key.sign(b"message")


@case(
    "PyJWT",
    "jwt.encode(..., 'HS256')",
    size="20,000 times",
    set_up=lambda: _with("jwt"),
    guess="gives way",
    why="written in Python; too small for the digest to let go",
)
def jwt_encode(state: Any) -> None:
    for i in range(20_000):
        state[0].encode({"sub": str(i)}, "k" * 32, algorithm="HS256")
