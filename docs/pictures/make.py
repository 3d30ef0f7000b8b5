"""Make the pictures in this folder, and the outputs of the notebook in examples/, anew.

    pip install '.[notebook,dask-dashboard]' nbconvert playwright
    python docs/pictures/make.py [pictures|dask|notebook]

What they show is measured now, on an otherwise idle machine if they are to look like the ones that
are here. The browser is a chromium that is installed (`apt-get install chromium`, or its path in
`CHROMIUM`), else playwright's own (`playwright install chromium`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(EXAMPLES))

from parse_sources import names_in, sources, total  # noqa: E402 (found by the line above)

from gilknocker import KnockKnock, Snapshot, compare  # noqa: E402
from gilknocker.reports.comparison import Comparison  # noqa: E402

# The rest is imported where it is used: each process of a pool imports this file too.

WIDTHS = (400, 1200)
SCHEMES = ("light", "dark")
# As wide as the text of a notebook, on a page of its colours.
PAGE = """<!DOCTYPE html><meta charset="utf-8"><style>
:root{{color-scheme:light dark}}
body{{margin:12px;background:light-dark(#fff,#111);color:light-dark(#222,#ddd);
font-family:system-ui,sans-serif;display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start}}
body>div{{flex:1 1 20rem}}
</style>{}"""


def measure(pool: Executor) -> Snapshot:
    """Return how busy the GIL was while a pool parsed."""
    with KnockKnock(500) as knocker, pool:
        total(pool.map(names_in, sources(1), chunksize=4))
    return knocker.snapshot(waits=True)


def report(path: Path) -> None:
    """Write the page that the runner makes of a program."""
    run = [sys.executable, "-m", "gilknocker", "run", "--html", str(path)]
    program = ["parse_sources.py", "--pool", "threads", "--workers", "4"]
    subprocess.run([*run, *program], cwd=EXAMPLES, check=True)


def shoot(pages: dict[str, Path]) -> None:
    """Take a picture of each page, narrow and wide, light and dark."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, path in pages.items():
            # Sanitized it has no colours of its own.
            widths, schemes = (WIDTHS, SCHEMES) if name != "sanitized" else ((1200,), ("light",))
            for width in widths:
                for scheme in schemes:
                    size = {"width": width, "height": 200}
                    page = browser.new_page(viewport=size, color_scheme=scheme)
                    page.goto(path.as_uri())
                    target = HERE / f"{name}-{width}-{scheme}.png"
                    page.screenshot(path=target, full_page=True)
                    page.close()
        browser.close()


def pictures() -> None:
    """Make all pictures."""
    from matplotlib.figure import Figure

    from gilknocker.reports.plotting import overlay

    threads = measure(ThreadPoolExecutor(4))
    processes = measure(ProcessPoolExecutor(2, mp_context=get_context("spawn")))
    for kind in ("percentiles", "timeline"):
        axes = Figure(figsize=(6.4, 3.8), layout="constrained").add_subplot()
        overlay({"four threads": threads, "two processes": processes}, axes, kind=kind)
        axes.figure.savefig(HERE / f"plot-{kind}.png", dpi=100)
    with tempfile.TemporaryDirectory() as folder:
        pages = {name: Path(folder, f"{name}.html") for name in ("card", "comparison", "report")}
        cards = f"<div>{threads._repr_html_()}</div><div>{processes._repr_html_()}</div>"
        pages["card"].write_text(PAGE.format(cards), encoding="utf-8")
        difference = compare(threads, processes, names=("four threads", "two processes"))
        pages["comparison"].write_text(PAGE.format(difference._repr_html_()), encoding="utf-8")
        report(pages["report"])
        pages["sanitized"] = Path(folder, "sanitized.html")
        pages["sanitized"].write_text(sanitized(threads, difference), encoding="utf-8")
        shoot(pages)


def sanitized(*values: Snapshot | Comparison) -> str:
    """Return the page that nbconvert makes of a notebook that shows these, sanitized."""
    import nbformat
    from nbconvert import HTMLExporter

    book = nbformat.v4.new_notebook()
    for value in values:
        data = {"text/html": value._repr_html_(), "text/plain": str(value)}
        book.cells.append(nbformat.v4.new_code_cell(type(value).__name__.lower()))
        book.cells[-1].outputs.append(nbformat.v4.new_output("execute_result", data))
    return str(HTMLExporter(sanitize_html=True).from_notebook_node(book)[0])


def shoot_live(url: str) -> None:
    """Take a picture of a page of Dask's dashboard, some heartbeats later."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 720, "height": 260})
        page.goto(url)
        page.wait_for_timeout(2_500)
        page.screenshot(path=HERE / "dask-dashboard.png")
        browser.close()


def tokenise(texts: int) -> int:
    """Return how many names there are in all, counted in pure Python."""
    return sum(len(names_in(path)) for path in sources(1)[:texts])


def hash_all(buffers: int) -> str:
    """Return the hash of large buffers: C code, which releases the GIL."""
    import hashlib

    digest = hashlib.sha256()
    for _ in range(buffers):
        digest.update(bytes(20_000_000))
    return digest.hexdigest()


def dask() -> None:
    """Make the pictures of a cluster: one of its workers tokenises, the others hash."""
    from dask.config import set as configured
    from distributed import Client, LocalCluster
    from matplotlib.figure import Figure

    from gilknocker.integrations.dask import watch

    preload = {"distributed.scheduler.preload": ["gilknocker.integrations.dask.dashboard"]}
    options = {"n_workers": 4, "threads_per_worker": 2, "dashboard_address": "127.0.0.1:0"}
    with configured(preload), LocalCluster(**options) as cluster, Client(cluster) as client:
        gil = watch(client, stacks=True)
        first, *others = client.scheduler_info()["workers"]
        with gil.measure() as window:
            work = [client.submit(hash_all, 20, workers=[one], pure=False) for one in others]
            work += client.map(tokenise, [400, 401], workers=[first])
            shoot_live(f"http://127.0.0.1:{cluster.scheduler.http_server.port}/individual-gil")
            client.gather(work)
    axes = Figure(figsize=(6.4, 2.6), layout="constrained").add_subplot()
    window.plot(axes).figure.savefig(HERE / "dask-plot.png", dpi=100)
    with tempfile.TemporaryDirectory() as folder:
        pages = {name: Path(folder, f"{name}.html") for name in ("dask-card", "dask-page")}
        pages["dask-card"].write_text(PAGE.format(f"<div>{window._repr_html_()}</div>"))
        window.to_html(pages["dask-page"], "Tokenise and hash")
        shoot(pages)
    print(window)


def notebook() -> None:
    """Run the notebook and keep its outputs."""
    import nbformat
    from nbclient import NotebookClient

    path = EXAMPLES / "wait_distribution.ipynb"
    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(EXAMPLES)}}).execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # when each was run: of no interest
    book.metadata["language_info"] = {"name": "python"}
    nbformat.write(book, path)


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["pictures", "notebook"]
    for step in wanted:
        {"pictures": pictures, "dask": dask, "notebook": notebook}[step]()
