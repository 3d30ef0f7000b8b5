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
    size="40 MB",
    set_up=lambda: _size("cryptography.fernet", 40_000_000),
    guess="keeps",
)
def fernet(state: Any) -> Any:
    return state[0].Fernet(b"A" * 43 + b"=").encrypt(state[1])


@case(
    "cryptography",
    "AESGCM(key).encrypt(...)",
    size="500 MB",
    set_up=lambda: _size("cryptography.hazmat.primitives.ciphers.aead", 500_000_000),
    guess="keeps",
)
def aesgcm(state: Any) -> Any:
    return state[0].AESGCM(bytes(32)).encrypt(bytes(12), state[1], None)


@case(
    "cryptography",
    "ChaCha20Poly1305(key).encrypt(...)",
    size="300 MB",
    set_up=lambda: _size("cryptography.hazmat.primitives.ciphers.aead", 300_000_000),
    guess="keeps",
)
def chacha(state: Any) -> Any:
    return state[0].ChaCha20Poly1305(bytes(32)).encrypt(bytes(12), state[1], None)


@case(
    "cryptography",
    "Hash(SHA256()).update(data)",
    size="300 MB",
    set_up=lambda: _size("cryptography.hazmat.primitives.hashes", 300_000_000),
    guess="keeps",
)
def cryptography_sha256(state: Any) -> Any:
    digest = state[0].Hash(state[0].SHA256())
    digest.update(state[1])
    return digest.finalize()


@case(
    "cryptography",
    "rsa.generate_private_key(...)",
    size="2,048 bits, 4 times",
    set_up=lambda: _with("cryptography.hazmat.primitives.asymmetric.rsa"),
    guess="releases",
)
def rsa_key(state: Any) -> Any:
    return [state[0].generate_private_key(65_537, 2_048) for _ in range(4)]


@case(
    "cryptography",
    "rsa key.sign(...)",
    size="2,048 bits, 400 times",
    set_up=lambda: _rsa(),
    guess="keeps",
)
def rsa_sign(key: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    for _i in range(400):
        key.sign(b"data", PKCS1v15(), SHA256())


def _rsa() -> Any:
    rsa = importlib.import_module("cryptography.hazmat.primitives.asymmetric.rsa")
    return rsa.generate_private_key(65_537, 2_048)


@case(
    "cryptography",
    "PBKDF2HMAC(...).derive(password)",
    size="600,000 rounds",
    set_up=lambda: _with("cryptography.hazmat.primitives.kdf.pbkdf2"),
    guess="releases",
)
def cryptography_pbkdf2(state: Any) -> Any:
    from cryptography.hazmat.primitives.hashes import SHA256

    return state[0].PBKDF2HMAC(SHA256(), 32, b"salt", 600_000).derive(b"password")


@case(
    "cryptography",
    "Scrypt(...).derive(password)",
    size="n = 2 ** 16",
    set_up=lambda: _with("cryptography.hazmat.primitives.kdf.scrypt"),
    guess="releases",
)
def cryptography_scrypt(state: Any) -> Any:
    return state[0].Scrypt(b"salt", 32, 2**16, 8, 1).derive(b"password")


@case(
    "cryptography",
    "dh.generate_parameters(...)",
    size="512 bits",
    set_up=lambda: _with("cryptography.hazmat.primitives.asymmetric.dh"),
    guess="releases",
)
def dh_parameters(state: Any) -> Any:
    return state[0].generate_parameters(2, 512)


@case(
    "PyNaCl",
    "SecretBox(key).encrypt(data)",
    size="100 MB",
    set_up=lambda: _size("nacl.secret", 100_000_000),
    guess="releases",
    why="cffi lets go around the cipher; the copies before and after are made with it",
)
def nacl_box(state: Any) -> Any:
    return state[0].SecretBox(bytes(32)).encrypt(state[1], bytes(24))


@case(
    "PyNaCl",
    "nacl.pwhash.argon2id.kdf(...)",
    size="interactive, 4 times",
    set_up=lambda: _with("nacl.pwhash"),
    guess="releases",
    why="cffi lets go around each call",
)
def nacl_pwhash(state: Any) -> Any:
    return [
        state[0].argon2id.kdf(32, b"password", bytes(16), opslimit=2, memlimit=67_108_864)
        for _ in range(4)
    ]


@case(
    "argon2-cffi",
    "PasswordHasher().hash(password)",
    size="4 times",
    set_up=lambda: _with("argon2"),
    guess="releases",
    why="cffi lets go around each call",
)
def argon2_hash(state: Any) -> Any:
    return [state[0].PasswordHasher(parallelism=1).hash("password") for _ in range(4)]


@case(
    "bcrypt",
    "bcrypt.hashpw(password, salt)",
    size="12 rounds",
    set_up=lambda: _with("bcrypt"),
    guess="releases",
    why="py.detach() around the whole (src/lib.rs)",
)
def bcrypt_hashpw(state: Any) -> Any:
    return state[0].hashpw(b"password", b"$2b$12$abcdefghijklmnopqrstuu")


@case(
    "pycryptodome",
    "AES.new(key, MODE_GCM).encrypt(data)",
    size="30 MB",
    set_up=lambda: _size("Crypto.Cipher.AES", 30_000_000),
    guess="keeps",
    why="loaded by cffi or ctypes, which let go",
)
def pycryptodome_gcm(state: Any) -> Any:
    return state[0].new(bytes(32), state[0].MODE_GCM, nonce=bytes(12)).encrypt(state[1])


@case(
    "xxhash",
    "xxhash.xxh64(data)",
    size="1 GB",
    set_up=lambda: _size("xxhash", 1_000_000_000),
    guess="releases",
    why="lets go for large inputs",
)
def xxh64(state: Any) -> Any:
    return state[0].xxh64(state[1]).digest()


@case(
    "blake3",
    "blake3(data)",
    size="1 GB",
    set_up=lambda: _size("blake3", 1_000_000_000),
    guess="releases",
    why="py.detach() for large inputs",
)
def blake3_hash(state: Any) -> Any:
    return state[0].blake3(state[1]).digest()


@case(
    "mmh3",
    "mmh3.hash128(data)",
    size="1 GB",
    set_up=lambda: _size("mmh3", 1_000_000_000),
    guess="keeps",
)
def mmh3_hash(state: Any) -> Any:
    return state[0].hash128(state[1])


@case(
    "google-crc32c",
    "google_crc32c.value(data)",
    size="1 GB",
    set_up=lambda: _size("google_crc32c", 1_000_000_000),
    guess="keeps",
)
def crc32c(state: Any) -> Any:
    return state[0].value(state[1])


@case(
    "gmpy2",
    "gmpy2.powmod(a, b, m)",
    size="12,000 bits",
    set_up=lambda: _with("gmpy2", (1 << 12_000) - 3),
    guess="keeps",
    why="lets go only if its context says so",
)
def gmpy2_powmod(state: Any) -> Any:
    return state[0].powmod(3, state[1] - 2, state[1])


@case(
    "coincurve",
    "PrivateKey(...).sign(message)",
    size="5,000 times",
    set_up=lambda: _with("coincurve"),
    guess="mixed",
    why="cffi lets go around each call",
)
def coincurve_sign(state: Any) -> None:
    key = state[0].PrivateKey(b"\1" * 32)
    for _i in range(5_000):
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
