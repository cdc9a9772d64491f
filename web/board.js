// The shared board: a canvas of cells that pop when somebody paints them, and
// the reader's pen, by pointer, finger or keyboard.

import { announce, reducedMotion } from "./dom.js";
import { colourNames, inks } from "./palette.js";

const popTime = 240;

/**
 * @typedef {object} BoardEvents
 * @property {(x: number, y: number, colour: number) => void} paint the reader painted a cell
 * @property {(x: number, y: number) => void} point the reader's pen is here, in cells
 * @property {(colour: number) => void} choose the reader pressed a digit
 */

export class Board {
  #canvas;
  #ctx;
  #pen;
  #events;

  width = 42;
  height = 28;
  /** @type {Uint8Array} a colour a cell, row by row */
  #cells = new Uint8Array(this.width * this.height);
  #inks = inks();
  #colour = 7;
  /** Device pixels a cell. */
  #size = 0;
  /** Cells that change: their former colour, and since when. @type {Map<number, { from: number, at: number }>} */
  #popping = new Map();
  #drawing = false;

  /** Where the pen is, for the keyboard. */
  #at = { x: 21, y: 14 };
  /** The cell that the pointer painted last, while it is down. @type {{ x: number, y: number } | undefined} */
  #down;

  /**
   * @param {HTMLCanvasElement} canvas @param {HTMLElement} pen @param {BoardEvents} events
   */
  constructor(canvas, pen, events) {
    this.#canvas = canvas;
    this.#ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.#pen = pen;
    this.#events = events;
    new ResizeObserver(() => this.#fit()).observe(canvas);
    addEventListener("themechange", () => {
      this.#inks = inks();
      this.#drawAll();
      this.colour = this.#colour;
    });
    this.#listen();
  }

  get colour() {
    return this.#colour;
  }

  set colour(colour) {
    this.#colour = colour;
    this.#pen.style.borderColor = colour ? this.#inks[colour] ?? "" : "";
  }

  /**
   * Shows another board as a whole.
   * @param {string[]} rows a digit a cell
   */
  show(rows) {
    this.height = rows.length;
    this.width = rows[0]?.length ?? 0;
    this.#cells = Uint8Array.from(rows.join(""), Number);
    this.#popping.clear();
    this.#fit();
  }

  /**
   * Colours one cell. It pops, unless it had that colour.
   * @param {number} x @param {number} y @param {number} colour
   */
  set(x, y, colour) {
    const i = y * this.width + x;
    const from = this.#cells[i];
    if (from === undefined || from === colour) return;
    this.#cells[i] = colour;
    if (reducedMotion() || document.hidden) {
      this.#popping.delete(i);
      this.#drawCell(i, 0, 1);
      return;
    }
    this.#popping.set(i, { from, at: performance.now() });
    if (!this.#drawing) {
      this.#drawing = true;
      requestAnimationFrame(this.#draw);
    }
  }

  /** Draws what changes, until nothing does. */
  #draw = () => {
    const now = performance.now();
    for (const [i, { from, at }] of this.#popping) {
      const t = Math.min(1, (now - at) / popTime);
      if (t === 1) this.#popping.delete(i);
      this.#drawCell(i, from, t);
    }
    this.#drawing = this.#popping.size > 0;
    if (this.#drawing) requestAnimationFrame(this.#draw);
  };

  #fit() {
    const { clientWidth, clientHeight } = this.#canvas;
    if (clientWidth === 0) return;
    const ratio = devicePixelRatio;
    this.#canvas.width = Math.round(clientWidth * ratio);
    this.#canvas.height = Math.round(clientHeight * ratio);
    this.#size = this.#canvas.width / this.width;
    this.#drawAll();
    this.#place();
  }

  #drawAll() {
    for (let i = 0; i < this.#cells.length; i++) this.#drawCell(i, 0, 1);
  }

  /**
   * @param {number} i
   * @param {number} from the former colour
   * @param {number} t how far it has changed, 0 to 1
   */
  #drawCell(i, from, t) {
    const ctx = this.#ctx;
    const column = i % this.width;
    const row = Math.floor(i / this.width);
    // Whole pixels: cells may differ by one in size, the gaps between them not.
    const x = Math.round(column * this.#size);
    const y = Math.round(row * this.#size);
    const w = Math.round((column + 1) * this.#size) - x;
    const h = Math.round((row + 1) * this.#size) - y;
    const to = this.#cells[i] ?? 0;
    ctx.clearRect(x, y, w, h);
    if (to === 0 || t < 1) this.#peg(x + w / 2, y + h / 2);
    if (from && t < 1) this.#block(x, y, w, h, from, to ? 1 : 1 - t);
    // A new colour grows, quickly at first.
    if (to) this.#block(x, y, w, h, to, t < 1 ? 0.3 + 0.7 * t * (2 - t) : 1);
  }

  /** @param {number} x its middle @param {number} y */
  #peg(x, y) {
    const ctx = this.#ctx;
    ctx.fillStyle = this.#inks[0] ?? "";
    ctx.beginPath();
    ctx.arc(x, y, Math.max(0.75, this.#size * 0.07), 0, 7);
    ctx.fill();
  }

  /**
   * @param {number} x @param {number} y @param {number} w @param {number} h
   * @param {number} colour
   * @param {number} scale
   */
  #block(x, y, w, h, colour, scale) {
    const ctx = this.#ctx;
    const gap = Math.max(1, Math.round(this.#size * 0.06));
    const wide = (w - gap) * scale;
    const high = (h - gap) * scale;
    ctx.fillStyle = this.#inks[colour] ?? "";
    ctx.beginPath();
    ctx.roundRect(x + (w - gap - wide) / 2, y + (h - gap - high) / 2, wide, high, wide * 0.2);
    ctx.fill();
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (e) => {
      if (e.button !== 0) return;
      canvas.setPointerCapture(e.pointerId);
      this.#down = this.#move(e);
      this.#paint(this.#down);
    });
    canvas.addEventListener("pointermove", (e) => {
      const to = this.#move(e);
      if (!this.#down || (to.x === this.#down.x && to.y === this.#down.y)) return;
      for (const cell of line(this.#down, to)) this.#paint(cell);
      this.#down = to;
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (this.#down = undefined));
    canvas.addEventListener("pointerleave", () => this.#showPen(canvas.matches(":focus-visible")));
    canvas.addEventListener("keydown", (e) => this.#key(e));
    canvas.addEventListener("focus", () => this.#showPen(canvas.matches(":focus-visible")));
    canvas.addEventListener("blur", () => this.#showPen(false));
  }

  /**
   * @param {PointerEvent} e
   * @returns the cell under the pointer
   */
  #move(e) {
    const box = this.#canvas.getBoundingClientRect();
    const x = ((e.clientX - box.left) / box.width) * this.width;
    const y = ((e.clientY - box.top) / box.height) * this.height;
    this.#events.point(clamp(x, this.width), clamp(y, this.height));
    this.#at = { x: clamp(Math.floor(x), this.width - 1), y: clamp(Math.floor(y), this.height - 1) };
    this.#showPen(e.pointerType === "mouse");
    return this.#at;
  }

  /** @param {{ x: number, y: number }} cell */
  #paint({ x, y }) {
    if (this.#cells[y * this.width + x] === this.#colour) return;
    this.set(x, y, this.#colour);
    this.#events.paint(x, y, this.#colour);
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const steps = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] });
    const step = steps[e.key];
    if (step) {
      const far = e.shiftKey ? 5 : 1;
      this.#at = { x: clamp(this.#at.x + far * step[0], this.width - 1), y: clamp(this.#at.y + far * step[1], this.height - 1) };
      this.#events.point(this.#at.x + 0.5, this.#at.y + 0.5);
      this.#showPen(true);
      this.#say();
    } else if (e.key === " " || e.key === "Enter") {
      this.#paint(this.#at);
      this.#say();
    } else if (/^[0-8]$/.test(e.key)) {
      this.#events.choose(Number(e.key));
      announce(colourNames[Number(e.key)] ?? "");
    } else {
      return;
    }
    e.preventDefault();
  }

  #say() {
    const { x, y } = this.#at;
    announce(`Column ${x + 1}, row ${y + 1}: ${colourNames[this.#cells[y * this.width + x] ?? 0]}`);
  }

  /** @param {boolean} shown */
  #showPen(shown) {
    this.#pen.hidden = !shown;
    this.#place();
  }

  #place() {
    const s = this.#canvas.clientWidth / this.width;
    this.#pen.style.width = this.#pen.style.height = `${s}px`;
    this.#pen.style.transform = `translate(${this.#at.x * s}px, ${this.#at.y * s}px)`;
  }
}

/** @param {number} v @param {number} limit */
function clamp(v, limit) {
  return Math.max(0, Math.min(limit, v));
}

/**
 * The cells from a to b, without a (Bresenham).
 * @param {{ x: number, y: number }} a @param {{ x: number, y: number }} b
 */
function line(a, b) {
  const cells = [];
  const dx = Math.abs(b.x - a.x);
  const dy = -Math.abs(b.y - a.y);
  let { x, y } = a;
  let err = dx + dy;
  while (x !== b.x || y !== b.y) {
    const twice = 2 * err;
    if (twice >= dy) {
      err += dy;
      x += Math.sign(b.x - a.x);
    }
    if (twice <= dx) {
      err += dx;
      y += Math.sign(b.y - a.y);
    }
    cells.push({ x, y });
  }
  return cells;
}
