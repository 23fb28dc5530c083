// Comforts of the book's tables, without a library: a wide table scrolls in its own box, which the keyboard reaches, and a table of
// results can be sorted by any column. Without this script every table is still there, in its own order.
(function () {
  "use strict";
  const FEWEST = 4;                                       // rows below which sorting helps nobody

  // "0.912 ± 0.003 [0.90, 0.92]" -> 0.912; "1,234" -> 1234; "−3" -> -3; "< 0.01" -> just below 0.01; a dash or no number -> null
  function number(text) {
    const found = /^\s*(<?)\s*([+−-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+−-]?\d+)?)/i.exec(text);
    if (!found) return null;
    const value = parseFloat(found[2].replace(/,/g, "").replace(/−/g, "-"));
    return found[1] ? value * (1 - 1e-9) : value;
  }

  function compare(a, b, numeric, sign) {
    if (numeric) {
      if (a.number === null || b.number === null) return (a.number === null) - (b.number === null);     // dashes last, either way
      return sign * (a.number - b.number) || a.place - b.place;
    }
    return sign * a.text.localeCompare(b.text, undefined, { numeric: true }) || a.place - b.place;
  }

  function sort(table, rows, column, direction) {
    const keys = rows.map((row, place) => {
      const text = row.cells[column].innerText.trim();
      return { row, place, text, number: number(text) };
    });
    const told = keys.filter((key) => key.text && key.text !== "–");
    const numeric = told.length > 0 && told.every((key) => key.number !== null);
    if (direction !== "none") keys.sort((a, b) => compare(a, b, numeric, direction === "ascending" ? 1 : -1));
    table.tBodies[0].append(...keys.map((key) => key.row));
  }

  function sortable(table) {
    const head = table.tHead && table.tHead.rows[table.tHead.rows.length - 1], body = table.tBodies[0];
    if (!head || table.tBodies.length !== 1 || body.rows.length < FEWEST) return;
    const rows = [...body.rows], cells = [...head.cells];
    const plain = rows.every((row) => row.cells.length === cells.length && [...row.cells].every((cell) => cell.rowSpan === 1 && cell.colSpan === 1));
    if (!plain || cells.some((cell) => cell.colSpan !== 1)) return;
    cells.forEach((cell, column) => {
      if (!cell.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.title = "sort by this column";
      button.append(...cell.childNodes);
      cell.append(button);
      cell.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const next = { none: "descending", descending: "ascending", ascending: "none" }[cell.getAttribute("aria-sort")];
        for (const other of cells) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
        cell.setAttribute("aria-sort", next);
        sort(table, rows, column, next);
      });
    });
    table.classList.add("sortable");
  }

  // A box that scrolls can be focused, so that the arrow keys move it, and has a name; one that does not is no stop for the Tab key.
  function scrollable(table) {
    let box = table.closest(".text_html, .pst-scrollable-table-container, .table-box");
    if (!box) {
      box = document.createElement("div");
      box.className = "table-box";
      table.replaceWith(box);
      box.append(table);
    }
    const caption = table.caption ? table.caption.textContent.trim().replace(/\s+/g, " ") : "";
    const name = "table, scrolls sideways" + (caption ? ": " + caption.slice(0, 80) : "");
    const look = () => {
      const wide = box.scrollWidth > box.clientWidth + 1;
      box.classList.toggle("wide", wide);
      if (wide) box.tabIndex = 0, box.setAttribute("role", "region"), box.setAttribute("aria-label", name);
      else box.removeAttribute("tabindex"), box.removeAttribute("role"), box.removeAttribute("aria-label");
    };
    if (window.ResizeObserver) new ResizeObserver(look).observe(box);
    look();
  }

  for (const table of document.querySelectorAll(".bd-article table")) {
    if (table.matches("table.dataframe")) sortable(table);
    scrollable(table);
  }
  // Code lines that are wider than the page scroll as well.
  for (const block of document.querySelectorAll(".bd-article pre")) if (block.scrollWidth > block.clientWidth + 1) block.tabIndex = 0;
})();
