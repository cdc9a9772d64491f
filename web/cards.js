// One card for each thing that a hub can do: a call, a stream, an upload, a
// question of the hub.

import { announce, byId, make } from "./dom.js";
import { median, millis } from "./format.js";
import { thumbnail } from "./palette.js";

/** @typedef {import("./client.js").HubClient} HubClient */
/** @typedef {{ name: string, rows: string[] }} Motif */
/** @typedef {{ people: number, cells: number, events: number, goroutines: number, heapKB: number }} Beat */

const pulseEvery = 500;
/** Beats that the curve shows. */
const beats = 60;
/** Milliseconds between the cells of a stamp, so that one sees the stream. */
const stampPace = 28;

export class Cards {
  #client;
  /** @type {Motif[]} */
  #motifs = [];

  /** Whether the figure is that of a hundred calls. */
  #burst = false;
  #pulseOn = true;
  /** The stream under way. @type {AsyncIterableIterator<Beat> | undefined} */
  #pulse;
  /** @type {number[]} */
  #curve = Array(beats).fill(0);

  #stampNext = 0;
  #askNote = byId("ask-note", HTMLElement);

  /**
   * @param {HubClient} client
   * @param {() => { x: number, y: number }} place where a stamp of 8 by 8 goes
   */
  constructor(client, place) {
    this.#client = client;
    client.on("ChooseMotif", (bot, names, seconds) => this.#choose(bot, names, seconds));
    on("call", () => this.#call());
    on("pulse", () => this.#togglePulse());
    on("stamp", () => this.#stamp(place()));
    on("ask", () => this.#ask());
    addEventListener("themechange", () => this.#showStamp());
  }

  /** The connection is there, and with it a room. */
  async connected() {
    for (const id of ["call", "ask"]) byId(id, HTMLButtonElement).disabled = false;
    if (this.#pulseOn && !this.#pulse) void this.#follow();
    if (this.#motifs.length === 0) this.#motifs = await this.#client.invoke("Motifs");
    this.#stampNext ||= Math.floor(Math.random() * this.#motifs.length);
    this.#showStamp();
    byId("stamp", HTMLButtonElement).disabled = false;
  }

  lost() {
    this.#pulse = undefined;
    for (const id of ["call", "ask", "stamp"]) byId(id, HTMLButtonElement).disabled = true;
  }

  /**
   * The page measured a round trip of its own.
   * @param {number} ms
   */
  measured(ms) {
    if (!this.#burst) byId("call-figure", HTMLElement).textContent = millis(ms);
  }

  /** A hundred calls, each after the answer to the last. */
  async #call() {
    const button = byId("call", HTMLButtonElement);
    const note = byId("call-note", HTMLElement);
    button.disabled = true;
    this.#burst = true;
    try {
      const times = [];
      for (let n = 1; n <= 100; n++) {
        const begun = performance.now();
        if ((await this.#client.invoke("Echo", n)) !== n) throw new Error("the hub answered with another number");
        times.push(performance.now() - begun);
      }
      byId("call-figure", HTMLElement).textContent = millis(median(times));
      note.textContent = `median, slowest ${millis(Math.max(...times))}`;
      announce(`100 calls, median ${millis(median(times))}`);
    } catch (err) {
      note.textContent = message(err);
    } finally {
      button.disabled = this.#client.state.name !== "connected";
    }
  }

  #togglePulse() {
    this.#pulseOn = !this.#pulseOn;
    const button = byId("pulse", HTMLButtonElement);
    button.textContent = this.#pulseOn ? "Stop" : "Start";
    button.setAttribute("aria-pressed", String(this.#pulseOn));
    if (!this.#pulseOn) void this.#pulse?.return?.();
    else if (this.#client.state.name === "connected") void this.#follow();
  }

  /** Draws the hub's pulse until it is stopped or the connection is lost. */
  async #follow() {
    const stream = (this.#pulse = this.#client.stream("Pulse", pulseEvery));
    try {
      for await (const beat of stream) {
        const rate = Math.round(/** @type {Beat} */ (beat).events * (1000 / pulseEvery));
        byId("pulse-figure", HTMLElement).textContent = String(rate);
        this.#curve = [...this.#curve.slice(1), rate];
        this.#draw();
      }
    } catch {
      // The connection is lost; the next one starts a new stream.
    }
    if (this.#pulse === stream) this.#pulse = undefined;
  }

  #draw() {
    const top = Math.max(20, ...this.#curve);
    const points = this.#curve.map((v, i) => `${((i / (beats - 1)) * 120).toFixed(1)} ${(31 - (v / top) * 29).toFixed(1)}`);
    const path = `M${points.join("L")}`;
    const spark = byId("spark", SVGSVGElement);
    spark.querySelector(".stroke")?.setAttribute("d", path);
    spark.querySelector(".area")?.setAttribute("d", `${path}L120 32L0 32Z`);
  }

  #showStamp() {
    const m = this.#motifs[this.#stampNext];
    if (m) thumbnail(byId("stamp-thumb", HTMLCanvasElement), m.rows);
  }

  /**
   * Streams a motif up, cell by cell.
   * @param {{ x: number, y: number }} at
   */
  async #stamp(at) {
    const m = this.#motifs[this.#stampNext];
    if (!m) return;
    const button = byId("stamp", HTMLButtonElement);
    const note = byId("stamp-note", HTMLElement);
    const cells = m.rows.flatMap((row, y) => [...row].flatMap((c, x) => (c === "." ? [] : [{ x: at.x + x, y: at.y + y, c: Number(c) }])));
    button.disabled = true;
    try {
      const count = await this.#client.invoke("Stamp", (async function* () {
        for (const [i, cell] of cells.entries()) {
          yield cell;
          note.textContent = `${i + 1} of ${cells.length} cells sent`;
          await new Promise((resolve) => setTimeout(resolve, stampPace));
        }
      })());
      note.textContent = `The hub painted ${count} cells`;
      announce(`A ${m.name} of ${count} cells is painted`);
      this.#stampNext = (this.#stampNext + 1) % this.#motifs.length;
      this.#showStamp();
    } catch (err) {
      note.textContent = message(err);
    } finally {
      button.disabled = this.#client.state.name !== "connected";
    }
  }

  async #ask() {
    const button = byId("ask", HTMLButtonElement);
    button.disabled = true;
    try {
      const order = await this.#client.invoke("Commission");
      this.#askNote.textContent = `${order.bot} draws a ${order.motif} for you.`;
      announce(this.#askNote.textContent);
    } catch (err) {
      this.#askNote.textContent = message(err);
    } finally {
      button.disabled = this.#client.state.name !== "connected";
    }
  }

  /**
   * The hub asks: which of these motifs? The promise is the answer.
   * @param {string} bot @param {string[]} names @param {number} seconds
   * @returns {Promise<string>}
   */
  #choose(bot, names, seconds) {
    const body = byId("ask-body", HTMLElement);
    const card = body.closest(".card");
    return new Promise((resolve, reject) => {
      const question = make("div", "question");
      const choices = make("div", "choices");
      question.append(make("p", "", `${bot}: which one?`), choices);
      const close = () => {
        clearTimeout(late);
        const had = question.contains(document.activeElement);
        body.replaceChildren(this.#askNote);
        card?.classList.remove("asked");
        if (had) byId("board", HTMLCanvasElement).focus({ preventScroll: true });
      };
      const late = setTimeout(() => {
        close();
        reject(new Error("The reader did not choose."));
      }, seconds * 1000);
      for (const name of names) {
        const button = make("button");
        button.type = "button";
        button.title = name;
        button.setAttribute("aria-label", name);
        const canvas = make("canvas");
        thumbnail(canvas, this.#motifs.find((m) => m.name === name)?.rows ?? []);
        button.append(canvas);
        button.addEventListener("click", () => {
          close();
          resolve(name);
        });
        choices.append(button);
      }
      body.replaceChildren(question);
      card?.classList.add("asked");
      announce(`${bot} asks what to draw: ${names.join(", ")}`);
      choices.querySelector("button")?.focus({ preventScroll: true });
    });
  }
}

/** @param {string} id @param {() => unknown} fn */
function on(id, fn) {
  byId(id, HTMLButtonElement).addEventListener("click", () => void fn());
}

/** @param {unknown} err */
function message(err) {
  // The hub's own words follow the wire's.
  return (err instanceof Error ? err.message : String(err)).replace(/^.*HubException: /, "");
}
