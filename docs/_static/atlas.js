// The atlas's tables: a click on a head sorts by that column, a box above the table searches in it.
document.addEventListener("DOMContentLoaded", () => {
  const section = document.getElementById("the-table");
  if (!section) return;
  for (const table of section.querySelectorAll("table")) {
    const body = table.tBodies[0];
    const rows = [...body.rows];

    const search = document.createElement("input");
    search.type = "search";
    search.placeholder = `Search in ${rows.length} rows: package, call, verdict …`;
    search.setAttribute("aria-label", search.placeholder);
    search.style.cssText = "width: 100%; padding: .4em; margin-bottom: .5em; font: inherit";
    search.addEventListener("input", () => {
      const words = search.value.toLowerCase().split(/\s+/);
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
    });
    const box = table.closest(".table-wrapper") || table;
    box.before(search);

    // "1,234", "35 % of 0.2 s", "< 1 ms" and "1.9x" by their number, the rest as text.
    const key = (row, column) => {
      const text = row.cells[column].textContent.trim();
      const number = /^(<)?\s*(-?[\d,.]+)/.exec(text);
      if (number) return Number(number[2].replaceAll(",", "")) - (number[1] ? 1 : 0);
      return text.toLowerCase();
    };
    const compare = (a, b) => {
      if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
      return typeof a === "number" ? -1 : 1;
    };
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const sort = () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const sign = down ? -1 : 1;
        rows.sort((a, b) => sign * compare(key(a, column), key(b, column)));
        body.append(...rows);
      };
      head.tabIndex = 0;
      head.style.cursor = "pointer";
      head.title = "Sort by this column";
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter") sort();
      });
    });
  }
});
