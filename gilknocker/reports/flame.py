"""A flame graph of a snapshot's stacks, as one HTML file that needs nothing else."""

from __future__ import annotations

import json

from gilknocker import __version__
from gilknocker._units import printable
from gilknocker.reports.stack_files import NATIVE, UNKNOWN, shown
from gilknocker.snapshot.stacks import waited_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from gilknocker.snapshot.value import Snapshot

__all__ = ["flame"]

# What is narrower than that share of the whole is not drawn: it could not be seen.
LEAST_SHARE = 0.0002

_STYLE = """\
:root{color-scheme:light dark}
body{margin:0 auto;max-width:96rem;padding:1rem;background:Canvas;color:CanvasText;
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.25rem;margin:.2rem 0;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:.6rem;align-items:center;margin:.6rem 0}
input,button,select{font:inherit}
#graph{position:relative;width:100%;overflow:hidden}
#graph button{position:absolute;box-sizing:border-box;height:20px;padding:0;margin:0;
text-indent:3px;border:1px solid Canvas;border-radius:3px;color:#111;
background:hsl(var(--hue) 70% 80%);
font:12px/18px system-ui,sans-serif;text-align:left;overflow:hidden;white-space:nowrap;
text-overflow:ellipsis;cursor:pointer}
#graph button:focus-visible{outline:2px solid CanvasText;z-index:1}
#graph button.found{background:#ffde3b;font-weight:600}
#graph button.native{background:hsl(210 60% 75%)}
#graph button.around{opacity:.55}
#said{min-height:3em;overflow-wrap:anywhere}
footer{margin-top:1rem;font-size:12px;opacity:.75}
"""

# Arrow keys go up and down and to the neighbours, Enter zooms in, Escape out again.
_SCRIPT = """\
const graph = document.getElementById("graph"), said = document.getElementById("said");
const search = document.getElementById("search"), by = document.getElementById("by");
const nodes = DATA.map(([name, held, waited, hue, parent]) =>
  ({name, held, waited, hue, parent, children: []}));
for (const node of nodes) {
  node.parent = nodes[node.parent];
  node.depth = node.parent ? node.parent.depth + 1 : 0;
  if (node.parent) node.parent.children.push(node);
}
for (const node of nodes) node.children.sort((a, b) => b.held - a.held);
const root = nodes[0];
let zoomed = root;
const size = node => by.value === "held" ? node.held : node.waited;
const text = node => {
  const all = size(root), unit = by.value === "held" ? "held" : "waited for";
  return node.name + ": " + unit + " " + (size(node) / 1e6).toFixed(3) + " s, "
    + (all ? 100 * size(node) / all : 0).toFixed(1) + " %";
};
function draw() {
  const wanted = search.value.toLowerCase();
  let deepest = 0, found = 0;
  graph.replaceChildren();
  const put = (node, left, width, around) => {
    if (width < LEAST && node !== zoomed) return;
    deepest = Math.max(deepest, node.depth);
    const bar = document.createElement("button");
    bar.type = "button"; bar.node = node; node.bar = bar;
    bar.style.left = 100 * left + "%"; bar.style.width = 100 * width + "%";
    bar.style.top = 21 * node.depth + "px"; bar.style.setProperty("--hue", node.hue);
    bar.textContent = node.name; bar.title = text(node);
    bar.setAttribute("aria-label", text(node));
    bar.classList.toggle("around", around);
    bar.classList.toggle("native", node.name === NATIVE);
    const hit = wanted && node.name.toLowerCase().includes(wanted);
    bar.classList.toggle("found", Boolean(hit));
    found += Boolean(hit);
    bar.tabIndex = node === zoomed ? 0 : -1;
    graph.append(bar);
    if (around) return;
    let at = left;
    for (const child of node.children) {
      const part = size(node) ? width * size(child) / size(node) : 0;
      put(child, at, part, false); at += part;
    }
  };
  const above = [];
  for (let node = zoomed.parent; node; node = node.parent) above.unshift(node);
  for (const node of above) put(node, 0, 1, true);
  if (size(zoomed)) put(zoomed, 0, 1, false);
  graph.style.height = 21 * (deepest + 1) + "px";
  said.textContent = size(root) ? text(zoomed) + (wanted ? "; found " + found : "")
    : "Nobody waited.";
}
function zoom(node) { zoomed = node; draw(); if (node.bar) node.bar.focus(); }
graph.addEventListener("click", event => event.target.node && zoom(event.target.node));
graph.addEventListener("mouseover", event => {
  if (event.target.node) said.textContent = text(event.target.node);
});
graph.addEventListener("focusin", event => { said.textContent = text(event.target.node); });
graph.addEventListener("keydown", event => {
  const node = event.target.node;
  if (!node) return;
  const row = node.parent ? node.parent.children.filter(one => one.bar && one.bar.isConnected) : [];
  const next = {
    ArrowUp: node.parent, ArrowDown: node.children.find(one => one.bar && one.bar.isConnected),
    ArrowLeft: row[row.indexOf(node) - 1], ArrowRight: row[row.indexOf(node) + 1],
  }[event.key];
  if (next && next.bar) { event.preventDefault(); next.bar.focus(); }
  if (event.key === "Escape") zoom(root);
});
search.addEventListener("input", draw);
by.addEventListener("change", () => zoom(root));
document.getElementById("out").addEventListener("click", () => zoom(root));
draw();
"""


def flame(snapshot: Snapshot, program: Sequence[str] = ()) -> str:
    """Return the text of the file: frames below their callers, as wide as they held the GIL.

    A bar is clicked to see it alone; names can be searched for; instead of the time held, widths
    can be the time that others waited meanwhile (`Snapshot.blame`).
    """
    title = _html("GIL held" + (f" by {' '.join(program)}" if program else ""))
    # No name of a function ends the script.
    data = json.dumps(_nodes(snapshot), separators=(",", ":")).replace("<", "\\u003c")
    script = _SCRIPT.replace("DATA", data, 1)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<nav>
<label>Width: <select id="by"><option value="held">time held</option>
<option value="waited">time others waited</option></select></label>
<label>Find: <input id="search" type="search"></label>
<button type="button" id="out">whole</button>
</nav>
<p id="said" role="status"></p>
<div id="graph" role="group" aria-label="Flame graph"></div>
<footer>gilknocker {__version__}: {snapshot.ticks_held} looks found the GIL held, in
{snapshot.observed_seconds:.1f} s. Enter or a click shows a bar alone, Escape all of them; arrow
keys go from bar to bar.</footer>
<script>
const LEAST = {LEAST_SHARE}, NATIVE = {json.dumps(NATIVE)};
{script}</script>
</body>
</html>
"""


def _nodes(snapshot: Snapshot) -> list[list[Any]]:
    """Return a row for each bar: name, held, waited (µs), hue, and its parent's number."""
    stored = snapshot._stacks or ()
    held_unit = _unit([one[2] for one in stored], snapshot.held_seconds)
    waited_unit = _unit([one[3] for one in stored], waited_seconds(snapshot))
    native = {(one.frames, one.thread) for one in snapshot.stacks if one.native}
    rows: list[list[Any]] = [["all threads", 0.0, 0.0, 30, -1]]
    numbers: dict[tuple[int, str], int] = {}
    for frames, thread, held, waited, *_ in stored:
        names = [f"thread {thread}"] if thread else []
        names += [shown(frame) for frame in frames] or [UNKNOWN]
        names += [NATIVE] if (frames, thread) in native else []
        at = 0
        for name in ["", *names]:
            if name:
                number = numbers.setdefault((at, name), len(rows))
                if number == len(rows):
                    hue = sum(name.encode("utf-8", "backslashreplace")) % 60
                    rows.append([name, 0.0, 0.0, hue, at])
                at = number
            rows[at][1] += held * held_unit
            rows[at][2] += waited * waited_unit
    return [[name, round(held), round(waited), *rest] for name, held, waited, *rest in rows]


def _unit(column: list[int], seconds: float) -> float:
    return 1e6 * seconds / sum(column) if any(column) else 0.0


def _html(text: str) -> str:
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
