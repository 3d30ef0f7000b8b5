"""Is the GIL in the way? The same files, worked on by four threads in two ways.

Tokenising is pure Python: a thread that does it keeps the GIL until another one asks, and gets
it taken away every 5 ms. Hashing and compressing are C code that lets go of the GIL while it
works. Both jobs run over the standard library's source files, which any machine with Python has.

    python examples/parse_or_hash.py [--seconds 3] [--threads 4]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import sysconfig
import time
import tokenize
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from gilknocker import KnockKnock, Snapshot


def tokenise(source: bytes) -> int:
    """Count the tokens of a source file: pure Python, which holds the GIL."""
    return sum(1 for _ in tokenize.tokenize(io.BytesIO(source).readline))


def digest(source: bytes) -> int:
    """Hash and compress a source file: C code, which releases the GIL."""
    hashlib.sha256(source).digest()
    return len(zlib.compress(source, level=9))


def read_sources(at_least: int) -> list[bytes]:
    """Read the standard library's larger source files: small ones are over in microseconds."""
    library = Path(sysconfig.get_path("stdlib"))
    sources = [path.read_bytes() for path in sorted(library.glob("*.py")) if path.is_file()]
    return [source for source in sources if len(source) >= at_least]


def run(
    job: Callable[[bytes], int], sources: Sequence[bytes], threads: int, seconds: float
) -> tuple[int, float]:
    """Work through the sources, over and over, with some threads; return files and seconds."""
    begin = time.perf_counter()
    supply = itertools.cycle(sources)

    def work() -> int:
        done = 0
        while time.perf_counter() < begin + seconds:
            job(next(supply))
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work) for _ in range(threads)]
        files = sum(future.result() for future in futures)
    return files, time.perf_counter() - begin


def histogram(waits_ns: np.ndarray) -> str:
    """Draw the distribution of waits, one line for each power of ten."""
    edges_ns = 10 ** np.arange(2, 10)
    names = ["100 ns", "1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s"]
    counts, _ = np.histogram(waits_ns, bins=np.r_[0, edges_ns])
    lines = [
        f"    < {name:>6}  {count:6d}  {'#' * round(50 * count / max(counts.max(), 1))}"
        for name, count in zip(names, counts, strict=True)
        if count
    ]
    return "\n".join(lines)


def report(name: str, files: int, seconds: float, snapshot: Snapshot) -> None:
    """Print how busy the GIL was, and what a thread would have waited for it."""
    low, high = snapshot.held_fraction_interval
    waits = snapshot.wait_times
    print(f"{name}: {files} files in {seconds:.1f} s")
    print(f"  the GIL was held {snapshot.held_fraction:.1%} of the time ({low:.1%} to {high:.1%})")
    print(f"  {len(waits)} knocks asked for it; a thread would have waited")
    if len(waits):
        p50, p90, p99 = np.percentile(waits, [50, 90, 99]) / 1e6
        longest = waits.max() / 1e6
        print(f"  p50 {p50:.3f} ms, p90 {p90:.3f} ms, p99 {p99:.3f} ms, max {longest:.3f} ms")
        print(histogram(waits))
    print()


def main() -> None:
    """Measure both jobs, and say what the difference means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each job (3)")
    parser.add_argument("--threads", type=int, default=4, help="that share the work (4)")
    options = parser.parse_args()
    sources = read_sources(at_least=20_000)

    fractions = {}
    for name, job in (("tokenise (pure Python)", tokenise), ("hash and compress (C)", digest)):
        with KnockKnock(interval_micros=1000) as knocker:
            files, seconds = run(job, sources, options.threads, options.seconds)
        snapshot = knocker.snapshot(waits=True)
        fractions[name] = snapshot.held_fraction
        report(name, files, seconds, snapshot)

    parsing, hashing = fractions.values()
    print(f"Tokenising kept the GIL busy {parsing:.0%} of the time: more threads cannot help,")
    print(f"processes can. Hashing kept it {hashing:.0%} busy: else, threads ran side by side.")


if __name__ == "__main__":
    main()
