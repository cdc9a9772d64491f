// Every frame of this tab, as it passes.

import { byId, make } from "./dom.js";
import { Narrator, bytes, clock, hexDump, pretty } from "./format.js";
import { typeNames } from "./protocol.js";

/** @typedef {import("./client.js").Frame} Frame */
/** @typedef {Frame & import("./format.js").Words & { serial: number }} Entry */

/** How many frames are kept. */
const maxFrames = 500;
/** How many of them are in the document while the list follows the newest. */
const tail = 60;
const arrows = { in: "↓", out: "↑", note: "·" };

export class Inspector {
  #root = byId("inspector", HTMLElement);
  #list = byId("frames", HTMLElement);
  #pauseButton = byId("pause", HTMLButtonElement);
  #ticker = byId("ticker", HTMLElement);
  #search = byId("search", HTMLInputElement);

  #narrator = new Narrator();
  /** The newest frames, oldest first. @type {Entry[]} */
  #entries = [];
  /** What a paused list shows. @type {Entry[] | undefined} */
  #frozen;
  #missed = 0;
  #serial = 0;

  /** @type {Map<number, HTMLElement>} by serial */
  #rows = new Map();
  /** Entries that wait for the next animation frame. @type {Entry[]} */
  #fresh = [];
  #drawing = false;
  /** Whether the list stays at its end. */
  #following = true;
  #selected = -1;

  /** @type {Map<string, { on: boolean, count: number, label: HTMLElement }>} by group */
  #filters = new Map();

  constructor() {
    for (const box of byId("filters", HTMLElement).querySelectorAll("input")) {
      const label = box.nextElementSibling?.querySelector("i");
      if (!label) continue; // the search field
      const filter = { on: box.checked, count: 0, label };
      this.#filters.set(box.value, filter);
      box.addEventListener("change", () => {
        filter.on = box.checked;
        this.#redraw();
      });
    }
    this.#search.addEventListener("input", () => this.#redraw());
    this.#pauseButton.addEventListener("click", () => this.#pause(!this.#frozen));
    byId("clear", HTMLButtonElement).addEventListener("click", () => this.#clear());

    this.#list.addEventListener("scroll", () => {
      const was = this.#following;
      this.#following = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 30;
      if (was && !this.#following) this.#unfold();
    });
    this.#list.addEventListener("click", (e) => {
      const row = e.target instanceof Element ? e.target.closest(".frame") : null;
      if (row instanceof HTMLElement) this.#select(Number(row.dataset["serial"]));
    });
    this.#list.addEventListener("keydown", (e) => this.#key(e));

    const sheet = byId("sheet", HTMLButtonElement);
    sheet.addEventListener("click", () => {
      const open = this.#root.classList.toggle("open");
      sheet.setAttribute("aria-expanded", String(open));
      sheet.querySelector("span")?.replaceChildren(open ? "Hide the frames" : "Show the frames");
      if (open) this.#toEnd();
    });
    byId("detail-close", HTMLButtonElement).addEventListener("click", () => {
      this.#select(-1);
      this.#list.focus({ preventScroll: true });
    });
  }

  /** @param {Frame} f */
  add(f) {
    if (f.dir === "note" && f.note?.startsWith("WebSocket")) this.#narrator.forget();
    /** @type {Entry} */
    const entry = { ...f, ...this.#narrator.tell(f), serial: this.#serial++ };
    this.#entries.push(entry);
    if (this.#entries.length > maxFrames) this.#entries.shift();
    const filter = this.#filters.get(entry.group);
    if (filter) filter.count++;
    if (this.#frozen) this.#missed++;
    else if (this.#shows(entry)) this.#fresh.push(entry);
    if (this.#fresh.length > maxFrames) this.#fresh.shift();
    if (!this.#drawing) {
      this.#drawing = true;
      requestAnimationFrame(this.#draw);
    }
  }

  /** Shows what has come since the last animation frame. */
  #draw = () => {
    this.#drawing = false;
    for (const { count, label } of this.#filters.values()) {
      const text = count < 10_000 ? String(count) : `${Math.floor(count / 1000)}k`;
      if (label.textContent !== text) label.textContent = text;
    }
    if (this.#frozen) this.#pauseButton.textContent = `Resume +${this.#missed}`;
    const last = this.#fresh.at(-1);
    if (last && last.word !== "ping") {
      this.#ticker.className = `ticker ${last.dir}`;
      this.#ticker.textContent = `${arrows[last.dir]} ${last.summary}`;
    }
    this.#append(this.#fresh);
    this.#fresh = [];
  };

  /** @param {Entry[]} entries */
  #append(entries) {
    if (entries.length === 0) return;
    const rows = document.createDocumentFragment();
    for (const e of entries) {
      const row = this.#row(e);
      this.#rows.set(e.serial, row);
      rows.append(row);
    }
    this.#list.append(rows);
    const limit = this.#following && !this.#frozen ? tail : maxFrames;
    for (const [serial, row] of this.#rows) {
      if (this.#rows.size <= limit) break;
      row.remove();
      this.#rows.delete(serial);
    }
    if (this.#following) this.#toEnd();
  }

  #toEnd() {
    this.#following = true;
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** @param {Entry} e */
  #row(e) {
    const row = make("div", `frame ${e.dir}`);
    row.id = `frame-${e.serial}`;
    row.dataset["serial"] = String(e.serial);
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(e.serial === this.#selected));
    if (e.word === "error" || e.note?.startsWith("WebSocket dropped")) row.classList.add("bad");
    if (e.places && e.places > 1) row.classList.add("joined", ...(e.place === 1 ? ["first"] : []), ...(e.place === e.places ? ["last"] : []));
    row.append(
      make("span", "at", clock(e.at)),
      make("span", "arrow", arrows[e.dir]),
      make("span", "word", e.word),
      make("span", "text", e.summary),
      make("span", "size", e.size ? bytes(e.size) : ""),
    );
    return row;
  }

  /** @param {Entry} e */
  #shows(e) {
    const wanted = this.#search.value.trim().toLowerCase();
    return this.#filters.get(e.group)?.on !== false && (wanted === "" || `${e.word} ${e.summary}`.toLowerCase().includes(wanted));
  }

  #redraw() {
    this.#fresh = [];
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#append((this.#frozen ?? this.#entries).filter((e) => this.#shows(e)));
    this.#toEnd();
  }

  /** Brings back the rows above the tail, without moving what is in sight. */
  #unfold() {
    const { scrollTop, scrollHeight } = this.#list;
    this.#redraw();
    this.#following = false;
    this.#list.scrollTop = scrollTop + this.#list.scrollHeight - scrollHeight;
  }

  /** @param {boolean} on */
  #pause(on) {
    if (on) this.#draw();
    this.#frozen = on ? [...this.#entries] : undefined;
    this.#missed = 0;
    this.#pauseButton.setAttribute("aria-pressed", String(on));
    this.#pauseButton.textContent = on ? "Resume" : "Pause";
    if (!on || this.#following) this.#redraw();
  }

  #clear() {
    this.#entries = [];
    if (this.#frozen) this.#frozen = [];
    for (const f of this.#filters.values()) f.count = 0;
    this.#select(-1);
    this.#redraw();
    this.#draw();
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    const serials = [...this.#rows.keys()];
    const at = serials.indexOf(this.#selected);
    const to = { ArrowUp: at < 0 ? serials.length - 1 : at - 1, ArrowDown: at + 1, Home: 0, End: serials.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    const serial = serials[Math.max(0, Math.min(serials.length - 1, to))];
    if (serial === undefined) return;
    // Who reads by keyboard wants the list to hold still.
    if (!this.#frozen) this.#pause(true);
    this.#select(serial);
    this.#rows.get(serial)?.scrollIntoView({ block: "nearest" });
  }

  /** @param {number} serial */
  #select(serial) {
    this.#rows.get(this.#selected)?.setAttribute("aria-selected", "false");
    this.#selected = serial;
    const entry = (this.#frozen ?? this.#entries).find((e) => e.serial === serial);
    const row = this.#rows.get(serial);
    row?.setAttribute("aria-selected", "true");
    if (row) this.#list.setAttribute("aria-activedescendant", row.id);
    else this.#list.removeAttribute("aria-activedescendant");
    this.#detail(entry);
  }

  /** @param {Entry | undefined} e */
  #detail(e) {
    const title = byId("detail-title", HTMLElement);
    const decoded = byId("detail-decoded", HTMLElement);
    const raw = byId("detail-raw", HTMLElement);
    raw.className = "raw";
    byId("detail", HTMLElement).hidden = !e;
    if (this.#following) this.#toEnd();
    if (!e) return;
    const what = e.message ? `${typeNames[e.message.type]} (type ${e.message.type})` : e.note === "handshake" ? "Handshake" : e.note ?? "Message of an unknown type";
    const way = e.dir === "note" ? "" : e.dir === "in" ? " from the hub" : " to the hub";
    const joined = e.places && e.places > 1 ? `, ${e.place} of ${e.places} in one WebSocket message` : "";
    title.textContent = `${what}${way}${e.size ? `, ${e.size} bytes` : ""}${joined}, ${clock(e.at)}`;
    if (e.message) decoded.replaceChildren(...tokens(pretty(e.message)));
    else decoded.textContent = typeof e.raw === "string" ? visible(e.raw) : "";
    if (e.raw instanceof Uint8Array) {
      raw.className = "raw hex";
      raw.textContent = hexDump(e.raw);
    } else {
      raw.textContent = e.message && e.raw ? visible(e.raw) : "";
    }
    byId("detail", HTMLElement).scrollTop = 0;
  }
}

/**
 * The record separator, made visible.
 * @param {string} s
 */
function visible(s) {
  return s.replaceAll("\x1e", "␞");
}

/**
 * Colours text in the manner of JSON.
 * @param {string} text
 */
function* tokens(text) {
  let at = 0;
  for (const m of text.matchAll(/("(?:[^"\\]|\\.)*")(:)?|-?\b\d[\d.eE+-]*/g)) {
    yield text.slice(at, m.index);
    yield make("span", m[2] ? "tok-key" : m[1] ? "tok-text" : "tok-number", m[1] ?? m[0]);
    at = m.index + (m[1] ?? m[0]).length;
  }
  yield text.slice(at);
}
