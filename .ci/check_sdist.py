"""Check that the sdist is complete: ``check_sdist.py CHECKOUT SDIST``.

It has every file of CHECKOUT (a clean one: it is built in) and nothing generated; and unpacked in
an empty folder it gives the wheel that CHECKOUT gives, which holds what it should.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import check_wheel

# What setuptools adds to an sdist.
ADDED = ("PKG-INFO", "setup.cfg", "gilknocker.egg-info/")


def wheel(folder: Path, out: Path) -> zipfile.ZipFile:
    """Build the wheel of the sources in `folder`."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", out, folder]
    subprocess.run(command, check=True)
    [path] = out.glob("*.whl")
    return zipfile.ZipFile(path)


def contents(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """Name and content of each file, but of what may differ between two builds the name only."""
    varying = (".so", "/RECORD")
    return {
        name: b"" if name.endswith(varying) else archive.read(name) for name in archive.namelist()
    }


def differences(checkout: Path, sdist: Path, scratch: Path) -> list[str]:
    """Return what is wrong, a line each."""
    wrong = []
    files = {str(p.relative_to(checkout)) for p in checkout.rglob("*") if p.is_file()}
    with tarfile.open(sdist) as archive:
        archive.extractall(scratch, **({"filter": "data"} if sys.version_info >= (3, 12) else {}))
    [unpacked] = scratch.iterdir()
    shipped = {str(p.relative_to(unpacked)) for p in unpacked.rglob("*") if p.is_file()}
    wrong += [f"not in the sdist: {name}" for name in sorted(files - shipped)]
    wrong += [
        f"in the sdist, not in the checkout: {name}"
        for name in sorted(shipped - files)
        if not name.startswith(ADDED)
    ]
    built = wheel(checkout, scratch / "from-checkout")
    ours = contents(built)
    theirs = contents(wheel(unpacked, scratch / "from-sdist"))
    wrong += [
        f"differs between the two wheels: {name}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    wrong += check_wheel.problems(built)
    return wrong


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        problems = differences(Path(sys.argv[1]), Path(sys.argv[2]), Path(scratch))
    print("\n".join(problems) or "the sdist is complete")
    sys.exit(bool(problems))
