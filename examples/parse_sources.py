"""Which names does the standard library use most? Its files are parsed by a pool of workers.

    gilknocker run examples/parse_sources.py --pool threads --workers 4
    gilknocker run examples/parse_sources.py --pool processes --workers 2

Reading a file waits for the disk, so threads look like a good idea. docs/investigation.md is what
the meter says of that.
"""

from __future__ import annotations

import argparse
import sysconfig
import time
import tokenize
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

POOLS: dict[str, type[Executor]] = {
    "threads": ThreadPoolExecutor,
    "processes": ProcessPoolExecutor,
}


def names_in(path: Path) -> Counter[str]:
    """Count the names in a source file."""
    with tokenize.open(path) as file:
        tokens = tokenize.generate_tokens(file.readline)
        return Counter(token.string for token in tokens if token.type == tokenize.NAME)


def sources(share: int) -> list[Path]:
    """Return every `share`-th of the standard library's modules, the largest first."""
    library = Path(sysconfig.get_path("stdlib"))
    paths = [*library.glob("*.py"), *library.glob("*/*.py")]
    foreign = ("site-packages", "test")
    own = [path for path in paths if path.parent.name not in foreign and path.is_file()]
    return sorted(own, key=lambda path: -path.stat().st_size)[::share]


def total(counts: Iterable[Counter[str]]) -> Counter[str]:
    """Add up the counts of all files."""
    names: Counter[str] = Counter()
    for count in counts:
        names.update(count)
    return names


def main() -> None:
    """Count the names in a share of the standard library, and say how long that took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pool", choices=POOLS, default="threads")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--share", type=int, default=1, help="take every N-th file only")
    options = parser.parse_args()

    paths = sources(options.share)
    begin = time.perf_counter()
    with POOLS[options.pool](options.workers) as pool:
        names = total(pool.map(names_in, paths))
    seconds = time.perf_counter() - begin
    print(f"{len(paths)} files, {names.total()} names in {seconds:.2f} s; most used:", end=" ")
    print(", ".join(name for name, _ in names.most_common(5)))


if __name__ == "__main__":
    main()
