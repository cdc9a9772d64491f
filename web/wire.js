// The wire between this tab and the hub: a dot for each frame, the latency, and
// what happens when it is cut.

import { announce, byId, reducedMotion } from "./dom.js";
import { millis } from "./format.js";
import { css } from "./palette.js";

/** @typedef {import("./client.js").Frame} Frame */
/** @typedef {import("./client.js").State} State */

/** Milliseconds that a dot takes from end to end. */
const flight = 900;
/** Dots under way at most; frames above that are counted, not shown. */
const maxDots = 60;
/** Where the two threads are, in pixels from the upper edge. */
const lanes = { out: 4, in: 12 };
const samples = 9;

export class Wire {
  #root = byId("wire", HTMLElement);
  #canvas = byId("dots", HTMLCanvasElement);
  #colours = { out: "", in: "" };
  #gauge = byId("gauge-text", HTMLElement);
  #cut = byId("cut", HTMLButtonElement);
  #rates = { in: byId("rate-in", HTMLElement), out: byId("rate-out", HTMLElement) };

  /** @type {State} */
  #state = { name: "connecting", attempt: 0 };
  #counts = { in: 0, out: 0 };
  /** Frames under way. @type {{ dir: "in" | "out", at: number, radius: number }[]} */
  #dots = [];
  /** @type {number[]} */
  #times = [];
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #countdown;

  /** @param {{ cut: () => void, retry: () => void }} events */
  constructor(events) {
    this.#cut.addEventListener("click", () => (this.#state.name === "connected" ? events.cut() : events.retry()));
    new ResizeObserver(() => {
      this.#canvas.width = Math.round(this.#canvas.clientWidth * devicePixelRatio);
      this.#canvas.height = Math.round(this.#canvas.clientHeight * devicePixelRatio);
    }).observe(this.#canvas);
    const paint = () => (this.#colours = { out: css("--out"), in: css("--in") });
    addEventListener("themechange", paint);
    paint();
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
    if (document.hidden || reducedMotion() || this.#dots.length >= maxDots) return;
    this.#dots.push({ dir: f.dir, at: performance.now(), radius: Math.min(4, 1.6 + Math.log10(f.size + 1) * 0.75) });
    if (this.#dots.length === 1) requestAnimationFrame(this.#draw);
  }

  /** Draws the dots until all have arrived. */
  #draw = () => {
    const now = performance.now();
    const { width, height } = this.#canvas;
    const ctx = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
    ctx.clearRect(0, 0, width, height);
    this.#dots = this.#dots.filter((d) => now - d.at < flight);
    for (const { dir, at, radius } of this.#dots) {
      const way = (now - at) / flight;
      ctx.fillStyle = this.#colours[dir];
      ctx.beginPath();
      ctx.arc((dir === "out" ? way : 1 - way) * width, lanes[dir] * devicePixelRatio, radius * devicePixelRatio, 0, 7);
      ctx.fill();
    }
    if (this.#dots.length > 0) requestAnimationFrame(this.#draw);
  };

  /**
   * A round trip took so long. The answer is the fastest of late: the others
   * waited for this page, not for the wire.
   * @param {number} ms
   */
  latency(ms) {
    this.#times = [...this.#times.slice(1 - samples), ms];
    const best = Math.min(...this.#times);
    if (this.#state.name === "connected") this.#gauge.textContent = millis(best);
    return best;
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
