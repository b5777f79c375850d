"use strict";
// Turns the headers of sortable tables into buttons: descending, ascending, as it was. The page is whole without it.
const headButtons = (headers, sort) => headers.forEach((header, column) => {
  const next = { none: "descending", descending: "ascending", ascending: "none" };
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  button.title = "Sort by this column";
  header.append(button);
  header.setAttribute("aria-sort", "none");
  button.addEventListener("click", () => {
    const direction = next[header.getAttribute("aria-sort")];
    headers.forEach((each) => each.setAttribute("aria-sort", each === header ? direction : "none"));
    sort(column, direction);
  });
});
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = Array.from(body.rows);
  const value = (row, column) => {
    const cell = row.cells[column];
    if ("value" in cell.dataset) return Number(cell.dataset.value);
    const words = cell.firstChild ? cell.firstChild.textContent.trim() : "";
    return words === "\u2014" ? "" : words;
  };
  const compare = (first, second) => typeof first === "number" && typeof second === "number"
    ? first - second : String(first).localeCompare(String(second));
  headButtons(Array.from(table.tHead.rows[0].cells), (column, direction) => {
    const rows = original.slice();
    if (direction !== "none") {
      const sign = direction === "ascending" ? 1 : -1;
      rows.sort((first, second) => {
        const [a, b] = [value(first, column), value(second, column)];
        if (a === "" || b === "") return (a === "") - (b === "");  // a missing number is last both ways
        return sign * compare(a, b);
      });
    }
    body.append(...rows);
  });
}
