// Who is here.

import { announce, byId, make } from "./dom.js";

/** @typedef {import("./cursors.js").Person} Person */

export class People {
  #list;
  #you = 0;
  /** @type {Map<number, Person>} */
  #all = new Map();
  /** @type {Map<number, HTMLElement>} */
  #items = new Map();

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** @param {number} id */
  get(id) {
    return this.#all.get(id);
  }

  /**
   * @param {Person[]} people @param {number} you
   */
  show(people, you) {
    this.#you = you;
    this.#all.clear();
    this.#items.clear();
    // You come first.
    const sorted = [...people].sort((a, b) => Number(b.id === you) - Number(a.id === you));
    this.#list.replaceChildren(...sorted.map((p) => this.#item(p)));
    this.#count();
  }

  /** @param {Person} p */
  add(p) {
    if (this.#all.has(p.id)) return;
    const item = this.#item(p);
    item.classList.add("fresh");
    this.#list.append(item);
    this.#count();
    announce(`${p.name} came`);
  }

  /** @param {number} id */
  remove(id) {
    const p = this.#all.get(id);
    if (!p) return;
    this.#all.delete(id);
    this.#items.get(id)?.remove();
    this.#items.delete(id);
    this.#count();
    announce(`${p.name} left`);
  }

  /** @param {number} id @param {string} name */
  rename(id, name) {
    const p = this.#all.get(id);
    const item = this.#items.get(id);
    if (!p || !item) return;
    if (id !== this.#you && p.name !== name) announce(`${p.name} is now ${name}`);
    p.name = name;
    item.replaceChildren(...this.#text(p));
  }

  /** The list may be longer than the line. */
  #count() {
    byId("count", HTMLElement).textContent = `${this.#all.size} here`;
  }

  /** @param {Person} p */
  #item(p) {
    const item = make("li", p.id === this.#you ? "you" : "");
    item.style.setProperty("--colour", `var(--c${p.colour})`);
    item.append(...this.#text(p));
    this.#all.set(p.id, p);
    this.#items.set(p.id, item);
    return item;
  }

  /** @param {Person} p */
  #text(p) {
    const note = p.id === this.#you ? "you" : p.bot ? "bot" : "";
    return note ? [p.name, make("small", "", note)] : [p.name];
  }
}
