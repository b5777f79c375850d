/* What the page does: ask for a ranking and show it. */

import { ask, byId, numberOf, say } from "./base.js";
import { copy, drawRows, editNote, forget, readNote, show } from "./ranking.js";
import { addVisit, visitList } from "./visits.js";

const main = document.querySelector("main");

function personOf(form) {
  return { age: numberOf(form.elements.age), sex: form.elements.sex.value || null };
}

async function rankVisits(form) {
  const history = [...visitList.children].map(item => item.form.value()).filter(visit => visit.codes.length);
  const body = { ...personOf(form), history, top: 50, explain: true };
  await run(form, async () => show({ ...(await ask("rank", body)), note: null, isOfVisits: true }));
}

async function rankNote(form) {
  const text = form.elements.text.value;
  const endpoint = main.dataset.noteEndpoint;
  await run(form, async () => {
    const answer = await ask(endpoint, { ...personOf(form), text, top: 50 });
    readNote(Array.from(text));
    show({ ...answer, note: Array.from(text), isOfVisits: false });
  });
}

async function run(form, work) {
  const button = form.querySelector(".main");
  button.disabled = true;
  byId("problem").hidden = true;
  say("Ranking …");
  try {
    await work();
  } catch (error) {
    say("", false);
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
}

function choose(tab) {
  for (const each of document.querySelectorAll("[role=tab]")) {
    const isChosen = each === tab;
    each.setAttribute("aria-selected", String(isChosen));
    each.tabIndex = isChosen ? 0 : -1;
    byId(each.getAttribute("aria-controls")).hidden = !isChosen;
  }
}

const tabs = [...document.querySelectorAll("[role=tab]")];
tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", event => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const next = tabs[(place + 1) % tabs.length];
    choose(next);
    next.focus();
  });
});

for (const [id, rank] of [["panel-visits", rankVisits], ["panel-note", rankNote]]) {
  const form = byId(id);
  if (!form) continue;
  form.addEventListener("submit", event => { event.preventDefault(); rank(form); });
  form.addEventListener("keydown", event => { if (event.key === "Enter" && event.ctrlKey) form.requestSubmit(); });
}
if (visitList) {
  addVisit();
  byId("add-visit").addEventListener("click", () => addVisit().entry.focus());
  byId("clear-visits").addEventListener("click", () => {
    byId("panel-visits").reset();
    visitList.replaceChildren();
    addVisit().entry.focus();
    forget();
  });
}
if (byId("panel-note")) {
  byId("edit-note").addEventListener("click", editNote);
  byId("clear-note").addEventListener("click", () => { byId("panel-note").reset(); forget(); editNote(); });
}

byId("copy").addEventListener("click", copy);
byId("which").addEventListener("change", () => drawRows());
byId("more").addEventListener("click", () => drawRows(true));
