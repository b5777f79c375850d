// A long table is a window into its rows: only those in sight are in the page. Search, and sort by a column's head.
for (const holder of document.querySelectorAll(".table.long")) {
  const rows = JSON.parse(holder.querySelector("script").textContent);
  const [frame, table, whole] = [".scroll", "table", ".whole"].map((selector) => holder.querySelector(selector));
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  const formats = heads.map((head) => head.dataset.format ?? "text");
  const HEIGHT = 44;
  const scales = { percent: [100, 1], points: [100, 1], whole: [1, 0], tenths: [1, 1], hundredths: [1, 2] };
  const print = (value, format) => {
    if (value === null || value === "") return "\u2014";
    if (typeof value === "string" || !(format in scales)) return String(value);
    const [times, digits] = scales[format];
    const printed = (times * value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return (format === "points" && value > 0 ? `+${printed}` : printed).replace("-", "\u2212");
  };
  const texts = rows.map((row) => row.filter((value) => typeof value === "string").join(" ").toLowerCase());
  const search = document.createElement("input");
  search.type = "search";
  const state = document.createElement("span");
  state.setAttribute("role", "status");
  const controls = document.createElement("div");
  controls.className = "controls";
  controls.append(labelled("Search", search), state);
  holder.prepend(controls);
  let [chosen, sorted] = [rows.map((_, place) => place), { column: -1, direction: "none" }];
  const line = (place) => {
    const row = document.createElement("tr");
    row.setAttribute("aria-rowindex", place + 2);
    rows[chosen[place]].forEach((value, column) => {
      const cell = document.createElement(column === 0 ? "th" : "td");
      if (column === 0) cell.scope = "row";
      const printed = print(value, formats[column]);
      const inner = document.createElement("div");
      inner.textContent = printed;
      if (formats[column] === "text") { cell.className = "text"; inner.title = printed; }
      cell.append(inner);
      row.append(cell);
    });
    return row;
  };
  const space = (height) => {
    const row = document.createElement("tr");
    row.setAttribute("aria-hidden", "true");
    const cell = row.insertCell();
    cell.colSpan = heads.length;
    cell.className = "space";
    cell.style.height = `${height}px`;
    return row;
  };
  const draw = () => {
    const first = Math.max(0, Math.floor(frame.scrollTop / HEIGHT) - 8);
    const last = Math.min(chosen.length, first + Math.ceil(frame.clientHeight / HEIGHT) + 16);
    const lines = Array.from({ length: Math.max(0, last - first) }, (_, place) => line(first + place));
    const above = first ? [space(first * HEIGHT)] : [];
    const below = last < chosen.length ? [space((chosen.length - last) * HEIGHT)] : [];
    body.replaceChildren(...above, ...lines, ...below);
  };
  const choose = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    chosen = rows.map((_, place) => place).filter((place) => words.every((word) => texts[place].includes(word)));
    if (sorted.direction !== "none") {
      const sign = sorted.direction === "ascending" ? 1 : -1;
      chosen.sort((a, b) => {
        const [x, y] = [rows[a][sorted.column], rows[b][sorted.column]];
        if (x === null || y === null) return (x === null) - (y === null);
        return sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y)));
      });
    }
    state.textContent = `${chosen.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
    table.setAttribute("aria-rowcount", chosen.length + 1);
    frame.scrollTop = 0;
    draw();
  };
  headButtons(heads, (column, direction) => { sorted = { column, direction }; choose(); });
  whole.textContent = "All rows with intervals are in the table's CSV file.";
  search.addEventListener("input", choose);
  frame.addEventListener("scroll", draw);
  holder.closest("details")?.addEventListener("toggle", draw);
  holder.classList.add("windowed");
  choose();
}
