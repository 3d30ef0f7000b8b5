"""The example notebook, run from top to bottom by a real kernel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient", reason="needs the extra [notebook]")
nbformat = pytest.importorskip("nbformat", reason="needs the extra [notebook]")
for name in ("IPython", "ipykernel", "matplotlib", "pandas"):
    pytest.importorskip(name, reason="needs the extra [notebook]")

EXAMPLES = Path(__file__).parents[2] / "examples"
# Not only that it runs: the story that it tells.
STORY = """
assert threads.held_fraction > 0.5 > digests.held_fraction
assert processes.held_fraction < threads.held_fraction
assert len(threads.wait_times) == threads.knocks
"""


def run(book: Any, folder: Path) -> None:
    client = nbclient.NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()


def outputs(book: Any, kind: str) -> list[str]:
    return [
        output["data"][kind]
        for cell in book.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the client's own libraries
def test_the_notebook_runs_clean() -> None:
    path = EXAMPLES / "wait_distribution.ipynb"
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    (share,) = [cell for cell in book.cells if "sources(share=1)" in cell.source]
    share.source = share.source.replace("share=1", "share=4")  # a quarter of the files will do
    book.cells.append(nbformat.v4.new_code_cell(STORY))
    run(book, EXAMPLES)
    told = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert not [output for output in told if output.get("name") == "stderr"]
    cards = [html for html in outputs(book, "text/html") if "What a thread would" in html]
    assert len(cards) == 4
    assert len([html for html in outputs(book, "text/html") if "B is lower" in html]) >= 1
    assert len(outputs(book, "image/png")) == 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_magic_in_a_kernel(tmp_path: Path) -> None:
    book = nbformat.v4.new_notebook()
    book.cells = [
        nbformat.v4.new_code_cell(source)
        for source in (
            "%load_ext gilknocker",
            "%%gil -o kept --plot\nimport asyncio\nawait asyncio.sleep(1)\n6 * 7",
            "%%gil\n\n1 / 0",
        )
    ]
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"):
        run(book, tmp_path)
    _, measured, failed = book.cells
    kinds = [output["output_type"] for output in measured.outputs]
    assert kinds == ["execute_result", "display_data", "display_data"]
    assert measured.outputs[0]["data"]["text/plain"] == "42"
    error, card = failed.outputs
    assert "gilknocker" in card["data"]["text/html"]
    traceback = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
    assert re.search(r"In\[3\], line 3\n", traceback) and "----> 3 1 / 0" in traceback
    assert traceback.count("In[") == 1 and "gilknocker" not in traceback
