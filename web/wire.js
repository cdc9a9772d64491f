// The wire between this tab and the hub: a dot for each frame, the latency, and
// what happens when it is cut.

import { announce, byId, make, reducedMotion } from "./dom.js";
import { median, millis } from "./format.js";

/** @typedef {import("./client.js").Frame} Frame */
/** @typedef {import("./client.js").State} State */

const flight = 900;
/** Dots under way at most; frames above that are counted, not shown. */
const maxDots = 40;
const samples = 9;

export class Wire {
  #root = byId("wire", HTMLElement);
  #pair = byId("pair", HTMLElement);
  #gauge = byId("gauge-text", HTMLElement);
  #cut = byId("cut", HTMLButtonElement);
  #rates = { in: byId("rate-in", HTMLElement), out: byId("rate-out", HTMLElement) };

  /** @type {State} */
  #state = { name: "connecting", attempt: 0 };
  #counts = { in: 0, out: 0 };
  #dots = 0;
  /** Dots that have arrived, to be used again. @type {HTMLElement[]} */
  #spare = [];
  /** @type {number[]} */
  #times = [];
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #countdown;

  /** @param {{ cut: () => void, retry: () => void }} events */
  constructor(events) {
    this.#cut.addEventListener("click", () => (this.#state.name === "connected" ? events.cut() : events.retry()));
    setInterval(() => {
      for (const dir of /** @type {const} */ (["in", "out"])) {
        this.#rates[dir].textContent = String(this.#counts[dir]);
        this.#counts[dir] = 0;
      }
    }, 1_000);
  }

  /** @param {Frame} f */
  frame(f) {
    if (f.dir === "note") return;
    this.#counts[f.dir]++;
    if (document.hidden || reducedMotion() || this.#dots >= maxDots) return;
    const dot = this.#spare.pop() ?? make("i");
    dot.className = `dot ${f.dir}`;
    this.#pair.append(dot);
    this.#dots++;
    // Larger frames are larger dots; the ends are beyond the edges.
    const scale = Math.min(1, 0.45 + Math.log10(Math.max(10, f.size)) / 6);
    const far = this.#pair.clientWidth + 8;
    const [from, to] = f.dir === "out" ? [0, far] : [far, 0];
    const way = dot.animate(
      [{ transform: `translateX(${from}px) scale(${scale})` }, { transform: `translateX(${to}px) scale(${scale})` }],
      { duration: flight, easing: "linear" },
    );
    way.onfinish = way.oncancel = () => {
      dot.remove();
      this.#dots--;
      this.#spare.push(dot);
    };
  }

  /**
   * A round trip took so long.
   * @param {number} ms
   */
  latency(ms) {
    this.#times = [...this.#times.slice(1 - samples), ms];
    if (this.#state.name === "connected") this.#gauge.textContent = millis(median(this.#times));
  }

  /** @param {State} s */
  state(s) {
    const was = this.#state.name;
    this.#state = s;
    this.#root.dataset["state"] = s.name;
    clearInterval(this.#countdown);
    this.#cut.textContent = s.name === "connected" ? "Cut the wire" : "Reconnect";
    this.#cut.disabled = s.name === "connecting";
    switch (s.name) {
      case "connecting":
        this.#gauge.textContent = s.attempt ? "reconnecting" : "connecting";
        return;
      case "connected":
        this.#times = [];
        this.#gauge.textContent = "connected";
        announce(s.attempt ? "Connected again" : "Connected");
        return;
      case "waiting": {
        const show = () => (this.#gauge.textContent = `back in ${Math.max(0, ((s.until ?? 0) - Date.now()) / 1000).toFixed(1)} s`);
        show();
        this.#countdown = setInterval(show, 100);
        if (was === "connected") announce("Connection lost. It comes back by itself.");
        return;
      }
      case "stopped":
        this.#gauge.textContent = s.error ? "closed by the hub" : "closed";
    }
  }
}
