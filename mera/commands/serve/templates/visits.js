/* The form of visits: codes with completion, days, and what a visit is called. */

import { announce, ask, byId, element, numberOf, say } from "./base.js";

export const visitList = byId("visits");
const EVENT = /^(procedure|drug|lab)s?:/i;
let visitNumber = 0;

class VisitForm {
  constructor() {
    const fragment = byId("visit-template").content.cloneNode(true);
    this.item = fragment.querySelector("li");
    this.codes = new Map();
    this.chips = this.item.querySelector(".chips");
    this.entry = this.item.querySelector(".code-entry");
    this.box = this.item.querySelector("[role=listbox]");
    this.days = this.item.querySelector(".days-before");
    this.number = ++visitNumber;
    this.box.id = `fits-${this.number}`;
    this.entry.setAttribute("aria-controls", this.box.id);
    this.options = [];
    this.active = -1;
    this.item.form = this;
    this.item.querySelector(".remove-visit").addEventListener("click", () => removeVisit(this));
    this.entry.addEventListener("input", () => this.complete());
    this.entry.addEventListener("keydown", event => this.key(event));
    this.entry.addEventListener("blur", () => setTimeout(() => this.close(), 150));
    this.entry.addEventListener("paste", event => this.paste(event));
  }

  async complete() {
    const text = this.entry.value.trim();
    if (!text) return this.close();
    const asked = (this.asked = {});
    let fitting;
    try {
      fitting = await ask(`codes?q=${encodeURIComponent(text)}`);
    } catch (error) {
      return say(error.message, true);
    }
    if (asked !== this.asked || text !== this.entry.value.trim()) return; // another letter came meanwhile
    this.options = fitting;
    this.box.replaceChildren(...fitting.map((code, place) => {
      const option = element("li", { role: "option", id: `${this.box.id}-${place}`, "aria-selected": "false" },
        element("b", {}, code.code), code.definition);
      option.addEventListener("mousedown", event => { event.preventDefault(); this.add(code.code, code.definition); });
      return option;
    }));
    this.box.hidden = !fitting.length;
    this.entry.setAttribute("aria-expanded", String(!this.box.hidden));
    this.activate(fitting.length ? 0 : -1);
  }

  activate(place) {
    this.active = place;
    [...this.box.children].forEach((option, number) => option.setAttribute("aria-selected", String(number === place)));
    if (place < 0) this.entry.removeAttribute("aria-activedescendant");
    else {
      this.entry.setAttribute("aria-activedescendant", this.box.children[place].id);
      this.box.children[place].scrollIntoView({ block: "nearest" });
    }
  }

  key(event) {
    const isOpen = !this.box.hidden;
    if (event.key === "ArrowDown" && isOpen) this.activate((this.active + 1) % this.options.length);
    else if (event.key === "ArrowUp" && isOpen) this.activate((this.active + this.options.length - 1) % this.options.length);
    else if (event.key === "Escape" && isOpen) this.close();
    else if (event.key === "Enter" && event.ctrlKey) return;
    else if (event.key === "Enter" && this.entry.value.trim()) this.take();
    else if (event.key === "Backspace" && !this.entry.value && this.codes.size) this.remove([...this.codes.keys()].pop());
    else return;
    event.preventDefault();
  }

  take() {
    const chosen = this.box.hidden ? null : this.options[this.active];
    if (chosen) this.add(chosen.code, chosen.definition);
    else this.addWritten(this.entry.value);
  }

  /** Codes, and procedures, drugs and labs, which are called by words: `drug:insulin glargine`. */
  addWritten(text) {
    for (const part of text.split(/[,;\n]+/).map(written => written.trim()).filter(Boolean)) {
      if (EVENT.test(part)) this.add(part.slice(0, 200), "");
      else for (const code of part.split(/\s+/)) this.add(code.toUpperCase().slice(0, 20), "");
    }
  }

  paste(event) {
    const text = event.clipboardData.getData("text").trim();
    if (!/[,;\n\t]/.test(text) || !text.split(/[\s,;]+/).every(word => /^[A-Za-z]?\d[\w.]*$/.test(word))) return;
    event.preventDefault();
    this.addWritten(text);
  }

  add(code, definition) {
    this.entry.value = "";
    this.close();
    if (this.codes.has(code)) return;
    this.codes.set(code, definition);
    const remove = element("button", { type: "button", "aria-label": `Remove ${code}` }, "×");
    remove.addEventListener("click", () => { this.remove(code); this.entry.focus(); });
    this.chips.append(element("li", { "data-code": code, title: definition },
      element("span", {}, element("b", {}, code), definition ? ` ${definition}` : ""), remove));
    announce(`${code} added to visit ${this.place()}`);
  }

  remove(code) {
    this.codes.delete(code);
    [...this.chips.children].find(chip => chip.dataset.code === code).remove();
    announce(`${code} removed from visit ${this.place()}`);
  }

  place() { return [...visitList.children].indexOf(this.item) + 1; }

  close() {
    this.asked = null;
    this.box.hidden = true;
    this.entry.setAttribute("aria-expanded", "false");
    this.activate(-1);
  }

  value() {
    if (this.entry.value.trim()) this.take();
    return { codes: [...this.codes.keys()], days_before: numberOf(this.days) };
  }
}

export function addVisit() {
  const visit = new VisitForm();
  visitList.append(visit.item);
  nameVisits();
  return visit;
}

function removeVisit(visit) {
  visit.item.remove();
  if (!visitList.children.length) addVisit();
  nameVisits();
  visitList.lastElementChild.form.entry.focus();
}

function nameVisits() {
  const visits = [...visitList.children];
  visits.forEach((item, place) => {
    const which = visits.length === 1 ? "" : place === 0 ? " (oldest)" : place === visits.length - 1 ? " (latest)" : "";
    item.querySelector("legend").textContent = `Visit ${place + 1}${which}`;
    const remove = item.querySelector(".remove-visit");
    remove.textContent = "Remove";
    remove.setAttribute("aria-label", `Remove visit ${place + 1}`);
    remove.hidden = visits.length === 1;
    item.form.entry.setAttribute("aria-label", `Add a code to visit ${place + 1}`);
    item.form.days.setAttribute("aria-label", `Days before now of visit ${place + 1}`);
  });
}
