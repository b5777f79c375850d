// Every code's figures: of thousands of rows only those in sight are in the page. Search, choose a model, sort.
for (const holder of document.querySelectorAll(".codes")) {
  const data = JSON.parse(holder.querySelector("script").textContent);
  if (!data.models.length) continue;
  const ROW_HEIGHT = 44;
  const DASH = "\u2014";
  const whole = (value) => value === null ? DASH : value.toLocaleString("en");
  const share = (value) => value === null ? DASH : (100 * value).toFixed(1);
  const ratio = (part, total) => total > 0 ? part / total : null;
  let model = data.models[0];
  const counted = (place) => data.test[place] >= 0;
  const confusion = (place) => {
    const [other, times] = model.confused[place] ?? [];
    return times ? `${data.codes[other]} ${data.definitions[other]} (${times} times)` : "";
  };
  const columns = [
    { label: "Code", text: true, value: (place) => data.codes[place] },
    { label: "Definition", text: true, value: (place) => data.definitions[place] },
    { label: "In train", print: whole, value: (place) => data.train[place] },
    { label: "In test", print: whole, value: (place) => counted(place) ? data.test[place] : null },
    { label: "Predicted", print: whole, value: (place) => counted(place) ? model.predicted[place] : null },
    { label: "Recall, %", print: share, value: (place) => ratio(model.hits[place], data.test[place]) },
    {
      label: "Precision, %", print: share,
      value: (place) => counted(place) ? ratio(model.hits[place], model.predicted[place]) : null,
    },
    {
      label: "F1, %", print: share,
      value: (place) => data.test[place] > 0
        ? ratio(2 * model.hits[place], model.predicted[place] + data.test[place]) : null,
    },
    { label: "Predicted in its place", text: true, value: confusion },
  ];
  const texts = data.codes.map((code, place) => `${code} ${data.definitions[place]}`.toLowerCase());
  const element = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const search = element("input", { type: "search" });
  const models = choice(data.models.map((each, place) => [place, each.label]));
  const state = element("span", {});
  state.setAttribute("role", "status");
  const heads = columns.map((column) => element(
    "th", { scope: "col", className: column.text ? "text" : "" }, column.label));
  const body = element("tbody", {});
  const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), body);
  const frame = element("div", { className: "scroll", tabIndex: 0 }, table);
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", "Table: code by code");
  const controls = element(
    "div", { className: "controls" }, labelled("Search codes and definitions", search), labelled("Model", models), state);
  let [shown, sorted] = [data.codes.map((_, place) => place), { column: 0, direction: "none" }];
  const line = (number) => {
    const row = element("tr", {}, ...columns.map((column, position) => {
      const value = column.value(shown[number]);
      const printed = column.text ? value || DASH : column.print(value);
      const inner = element("div", { textContent: printed, title: column.text ? printed : "" });
      return position === 0 ? element("th", { scope: "row" }, inner)
        : element("td", { className: column.text ? "text" : "" }, inner);
    }));
    row.setAttribute("aria-rowindex", number + 2);
    return row;
  };
  const space = (rows) => {
    const row = element("tr", {}, element("td", { colSpan: columns.length, className: "space" }));
    row.setAttribute("aria-hidden", "true");
    row.firstChild.style.height = `${rows * ROW_HEIGHT}px`;
    return row;
  };
  const draw = () => {
    const first = Math.max(0, Math.floor(frame.scrollTop / ROW_HEIGHT) - 8);
    const last = Math.min(shown.length, first + Math.ceil(frame.clientHeight / ROW_HEIGHT) + 16);
    const lines = Array.from({ length: Math.max(0, last - first) }, (_, place) => line(first + place));
    body.replaceChildren(
      ...first ? [space(first)] : [], ...lines, ...last < shown.length ? [space(shown.length - last)] : []);
  };
  const choose = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = data.codes.map((_, place) => place).filter((place) => words.every((word) => texts[place].includes(word)));
    if (sorted.direction !== "none") {
      const { text, value } = columns[sorted.column];
      const sign = sorted.direction === "ascending" ? 1 : -1;
      const keys = new Map(shown.map((place) => [place, value(place)]));
      const missing = (key) => key === null || key === "";
      shown.sort((a, b) => {
        const [x, y] = [keys.get(a), keys.get(b)];
        if (missing(x) || missing(y)) return missing(x) - missing(y);
        return sign * (text ? x.localeCompare(y) : x - y);
      });
    }
    const unnamed = data.unnamed
      ? `; ${whole(data.unnamed)} codes of fewer than ${data.least_patients} patients are not named` : "";
    state.textContent = `${whole(shown.length)} of ${whole(data.codes.length)} codes${unnamed}`;
    table.setAttribute("aria-rowcount", shown.length + 1);
    frame.scrollTop = 0;
    draw();
  };
  headButtons(heads, (column, direction) => { sorted = { column, direction }; choose(); });
  search.addEventListener("input", choose);
  models.addEventListener("change", () => { model = data.models[models.value]; choose(); });
  frame.addEventListener("scroll", draw);
  holder.closest("details")?.addEventListener("toggle", draw);
  holder.prepend(controls, frame);
  choose();
}
