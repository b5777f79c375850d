/* The ranking: rows, the threshold line, what is behind a code, evidence in the note, copying. */

import { ask, byId, element, percent, say } from "./base.js";

const AT_FIRST = 20;
let shown = null; // the last answer, with `note`: its code points or null, and `isOfVisits`

export function show(answer) {
  shown = answer;
  byId("which").hidden = !answer.isOfVisits;
  document.querySelector("#which input").checked = true;
  byId("ranking").hidden = false;
  drawRows();
  const fresh = answer.codes.filter(code => code.predicted && !code.known).length;
  const parts = [`${answer.predicted} ${answer.predicted === 1 ? "code" : "codes"} above the threshold`];
  if (answer.isOfVisits) parts.push(`${fresh} of them new`);
  if (answer.unknown_codes.length) parts.push(`not among the model's codes: ${answer.unknown_codes.join(", ")}`);
  if (answer.unread_events.length) parts.push(`left out, as the model does not know them: ${answer.unread_events.join(", ")}`);
  say([`${parts.join(", ")}.`, ...answer.unread.map(sentence => `${sentence}.`)].join(" "));
  if (matchMedia("(max-width: 56rem)").matches) byId("results").scrollIntoView({ behavior: "smooth" });
}

function wanted() {
  const which = document.querySelector("#which input:checked").value;
  return shown.codes.filter(code => which === "all" || code.known === (which === "known"));
}

/** The first codes, and with `all` those behind them; what is predicted is always there. */
export function drawRows(all = false) {
  const rows = [], codes = wanted();
  const first = all ? codes : codes.filter((code, place) => place < AT_FIRST || code.predicted);
  let isAbove = true;
  byId("more").hidden = first.length === codes.length;
  byId("more").textContent = `Show ${codes.length - first.length} more`;
  for (const code of first) {
    if (isAbove && !code.predicted) rows.push(thresholdRow());
    isAbove = isAbove && code.predicted;
    rows.push(codeRow(code, !isAbove));
  }
  if (!rows.length) rows.push(element("tr", {}, element("td", { colSpan: 3 }, "No such code among those ranked.")));
  else if (isAbove) rows.push(thresholdRow());
  byId("codes").replaceChildren(...rows);
}

function thresholdRow() {
  const words = shown.isOfVisits ? "end of visit: predicted above this line" : "threshold: predicted above this line";
  return element("tr", { class: "threshold" }, element("td", { colSpan: 3 }, element("div", {}, words)));
}

function codeRow(code, isBelow) {
  const opener = element("button", { type: "button", class: "open-code", "aria-expanded": "false" },
    element("b", {}, code.code), code.definition);
  const badges = element("span", { class: "badges" });
  const cell = element("td", {}, element("div", { class: "code-cell" }, opener, badges));
  if (shown.isOfVisits) badges.append(element("span", { class: code.known ? "badge" : "badge new" }, code.known ? "known" : "new"));
  if (code.rules && code.rules.length) badges.append(element("span", { class: "badge rule" }, code.rules.length === 1 ? "breaks a rule" : `breaks ${code.rules.length} rules`));
  const fill = element("span", { class: "fill" });
  fill.style.width = percent(code.probability ?? 0);
  const row = element("tr", { class: `code-row${isBelow ? " below" : ""}` },
    element("td", { class: "place" }, String(code.place)), cell,
    element("td", {}, element("div", { class: "probability" }, element("span", {}, percent(code.probability)),
      element("span", { class: "track", "aria-hidden": "true" }, fill))));
  opener.addEventListener("click", () => toggle(row, opener, code));
  for (const event of ["mouseenter", "focusin"]) row.addEventListener(event, () => markEvidence(code));
  return row;
}

async function toggle(row, opener, code) {
  const isOpen = opener.getAttribute("aria-expanded") === "true";
  opener.setAttribute("aria-expanded", String(!isOpen));
  row.classList.toggle("open", !isOpen);
  if (isOpen) return row.nextElementSibling.remove();
  const grid = element("div", { class: "details-grid" });
  row.after(element("tr", { class: "details" }, element("td", { colSpan: 3 }, grid)));
  if (code.moved_by && code.moved_by.length) grid.append(effects(code));
  if (code.rules && code.rules.length) grid.append(part("Coding rules", list(code.rules)));
  if (code.evidence.length && shown.note) grid.append(part("Evidence", list(code.evidence.map(span => `“${words(span)}”`))));
  try {
    grid.append(...hierarchy(await ask(`code/${encodeURIComponent(code.code)}`)));
  } catch (error) {
    grid.append(part("In the hierarchy", element("p", { class: "hint" }, error.message)));
  }
}

function part(title, ...content) {
  return element("section", {}, element("h3", {}, title), ...content);
}

function list(texts) {
  return element("ul", {}, ...texts.map(text => element("li", {}, text)));
}

function effects(code) {
  const largest = Math.max(...code.moved_by.map(effect => Math.abs(effect.change)), 1e-9);
  const rows = code.moved_by.map(({ visit, change }) => {
    const fill = element("span", { class: "fill" });
    fill.style.width = `${(100 * Math.abs(change)) / largest}%`;
    const points = `${change < 0 ? "−" : "+"}${(100 * Math.abs(change)).toFixed(1)}`;
    return element("li", { class: `effect${change < 0 ? " down" : ""}` }, `Visit ${visit}`,
      element("span", { class: "track", "aria-hidden": "true" }, fill), element("span", { class: "amount" }, `${points} pp`));
  });
  return part("What moved it", element("p", { class: "hint" }, "Probability with the visit minus without it, in percentage points."),
    element("ul", {}, ...rows));
}

function hierarchy(page) {
  const named = code => element("li", {}, element("b", {}, code.code), code.definition);
  const parts = [part("In the hierarchy", element("ul", { class: "path" }, ...page.path.map(named),
    element("li", { class: "here" }, `${page.code} ${page.definition}`)))];
  if (page.neighbours.length) parts.push(part(`Beside it (${page.neighbours.length})`, element("ul", { class: "scroll", tabIndex: 0, "aria-label": "Neighbours" }, ...page.neighbours.map(named))));
  if (page.below.length) parts.push(part(`Below it (${page.below.length})`, element("ul", { class: "scroll", tabIndex: 0, "aria-label": "Codes below" }, ...page.below.map(named))));
  if (page.notes.length) parts.push(part("Notes of the edition", element("ul", { class: "scroll", tabIndex: 0, "aria-label": "Notes" }, ...page.notes.map(text => element("li", {}, text)))));
  return parts;
}

/* Evidence. Offsets count code points, where JavaScript counts halves of some. */

function words(span) {
  return shown.note.slice(span.start, span.end).join("");
}

export function readNote(points) {
  byId("note-text").replaceChildren(points.join(""));
  byId("note-read").hidden = byId("edit-note").hidden = false;
  byId("note-entry").hidden = true;
}

export function editNote() {
  byId("note-read").hidden = byId("edit-note").hidden = true;
  byId("note-entry").hidden = false;
  document.querySelector("#panel-note textarea").focus();
}

function markEvidence(code) {
  if (!shown || !shown.note) return;
  const pieces = [];
  let end = 0;
  for (const span of code.evidence) {
    const start = Math.max(end, span.start); // each word once, even where spans overlap
    if (span.end <= start) continue;
    pieces.push(shown.note.slice(end, start).join(""), element("mark", {}, words({ start, end: span.end })));
    end = span.end;
  }
  pieces.push(shown.note.slice(end).join(""));
  const box = byId("note-text");
  box.replaceChildren(...pieces);
  const first = box.querySelector("mark");
  if (first && (first.offsetTop < box.scrollTop || first.offsetTop > box.scrollTop + box.clientHeight)) {
    box.scrollTop = first.offsetTop - box.clientHeight / 3;
  }
}

/* Copying */

export async function copy() {
  const cell = value => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  const header = ["place", "code", "definition", "probability", "predicted", ...(shown.isOfVisits ? ["known"] : []), ...(shown.note ? ["evidence"] : [])];
  const lines = wanted().map(code => [
    code.place, code.code, code.definition, code.probability ?? "", code.predicted, ...(shown.isOfVisits ? [code.known] : []),
    ...(shown.note ? [code.evidence.map(words).join("; ")] : []),
  ]);
  const text = [header, ...lines].map(line => line.map(cell).join(",")).join("\n") + "\n";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(`${lines.length} codes copied.`);
}

export function forget() {
  shown = null;
  byId("ranking").hidden = true;
  byId("codes").replaceChildren();
  byId("problem").hidden = true;
  byId("note-text")?.replaceChildren();
  say("Nothing ranked yet.");
}
