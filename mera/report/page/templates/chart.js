// The chart of the first screen: another metric, another order, fewer models. The page is whole without it.
const NUMBER = (value) => value === null ? "\u2014" : value.toFixed(1).replace("-", "\u2212");
const roundScale = (low, high, steps) => {  // as drawing/scales.py does
  const raw = Math.max(high - low, 1e-9) / steps;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * (1 - 1e-9));
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(Math.ceil(high / step - 1e-9), first + 1);
  return Array.from({ length: last - first + 1 }, (_, place) => (first + place) * step);
};
const labelled = (words, control) => {
  const label = document.createElement("label");
  label.append(`${words} `, control);
  return label;
};
const choice = (options) => {
  const select = document.createElement("select");
  for (const [value, words] of options) select.append(new Option(words, value));
  return select;
};
for (const chart of document.querySelectorAll(".chart")) {
  const data = JSON.parse(chart.querySelector("script").textContent);
  const drawing = chart.querySelector("svg");
  const rows = Array.from(drawing.querySelectorAll(".dot-row"));
  if (rows.length < 2) continue;
  const axis = drawing.querySelector(".axis");
  const [, , width] = drawing.getAttribute("viewBox").split(" ").map(Number);
  const [left, right, top, rowHeight] = [8, width - 8, 6, 34];
  const below = 40;
  const name = (row) => row.dataset.run;
  const labels = new Map(Object.entries(data.labels));
  const hidden = new Set();
  const metric = choice(data.metrics.map((each) => [each.key, each.label]));
  metric.value = data.leading;
  const order = choice([["value", "by value"], ["name", "by name"]]);
  const at = (element, values) => { for (const key in values) element.setAttribute(key, values[key]); };
  const redraw = () => {
    const values = new Map(rows.map((row) => [name(row), data.runs[name(row)][metric.value]]));
    const shown = rows.filter((row) => !hidden.has(name(row)));
    shown.sort((a, b) => order.value === "name"
      ? labels.get(name(a)).localeCompare(labels.get(name(b)))
      : (values.get(name(b))[0] ?? -1) - (values.get(name(a))[0] ?? -1));
    const numbers = shown.flatMap((row) => values.get(name(row))).filter((value) => value !== null);
    const [low, high] = [Math.min(...numbers), Math.max(...numbers, 1e-6)];
    const ticks = numbers.length ? roundScale(low < 0.4 * high ? 0 : low, high, 5) : [0, 100];
    const [first, last] = [ticks[0], ticks[ticks.length - 1]];
    const place = (value) => left + (right - left) * (value - first) / (last - first);
    const bottom = top + rowHeight * shown.length;
    for (const heading of drawing.querySelectorAll(".heading")) heading.setAttribute("display", "none");
    for (const row of rows) row.setAttribute("display", hidden.has(name(row)) ? "none" : "inline");
    shown.forEach((row, number) => {
      const [value, from, to] = values.get(name(row));
      row.setAttribute("transform", `translate(0 ${top + number * rowHeight})`);
      const [mark, interval] = [row.querySelector(".mark"), row.querySelector(".interval")];
      mark?.setAttribute("display", value === null ? "none" : "inline");
      interval?.setAttribute("display", from === null ? "none" : "inline");
      if (value !== null) mark?.setAttribute("transform", `translate(${place(value)} 24)`);
      if (from !== null && interval) at(interval, { x1: place(from), x2: place(to) });
      const printed = from === null ? NUMBER(value) : `${NUMBER(value)} (${NUMBER(from)} to ${NUMBER(to)})`;
      row.querySelector(".value").textContent = printed;
      row.querySelector("title").textContent = `${labels.get(name(row))}: ${printed}`;
      row.querySelector(".note")?.setAttribute("display", metric.value === data.leading ? "inline" : "none");
    });
    axis.replaceChildren(...ticks.flatMap((tick, number) => {
      const [line, text] = ["line", "text"].map((tag) => document.createElementNS(drawing.namespaceURI, tag));
      at(line, { x1: place(tick), x2: place(tick), y1: top, y2: bottom, stroke: "var(--line)" });
      const anchor = number === 0 ? "start" : number === ticks.length - 1 ? "end" : "middle";
      at(text, { x: place(tick), y: bottom + 15, "font-size": 12, fill: "var(--soft)", "text-anchor": anchor });
      text.textContent = String(Number(tick.toFixed(6)));
      return [line, text];
    }));
    const { label, meaning } = data.metrics.find((each) => each.key === metric.value);
    const starts = first === 0 ? "" : ` The axis starts at ${Number(first.toFixed(6))}%.`;
    const words = drawing.querySelector(".axis-label");
    words.textContent = `${label}, %`;
    words.setAttribute("y", bottom + 33);
    for (const reference of drawing.querySelectorAll(".reference")) {
      reference.setAttribute("display", metric.value === data.leading && first === 0 && !hidden.size ? "inline" : "none");
    }
    drawing.setAttribute("viewBox", `0 0 ${width} ${bottom + below}`);
    const read = shown.map((row) => row.querySelector("title").textContent).join("; ");
    drawing.setAttribute("aria-label", `${label} in percent, with 95% intervals. ${read}.`);
    const heading = chart.querySelector("figcaption b");
    heading.textContent = `${label} of ${hidden.size ? "the chosen models" : "every model"}`;
    const sentence = `${meaning[0].toUpperCase()}${meaning.slice(1)}, with 95% bootstrap intervals.`;
    heading.parentNode.replaceChildren(heading, ` ${sentence}${starts} ${data.marks}`);
    for (const row of chart.closest(".task").querySelectorAll("tr[data-run]")) row.hidden = hidden.has(row.dataset.run);
  };
  const models = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "Models";
  models.className = "models";
  models.append(summary);
  for (const row of rows) {
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(name(row)); else hidden.add(name(row));
      redraw();
    });
    const label = document.createElement("label");
    label.append(box, ` ${labels.get(name(row))}`);
    models.append(label);
  }
  const controls = document.createElement("div");
  controls.className = "controls";
  controls.append(labelled("Metric", metric), labelled("Order", order), models);
  for (const control of [metric, order]) control.addEventListener("change", redraw);
  chart.prepend(controls);
}
