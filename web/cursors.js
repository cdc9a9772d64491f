// The cursors of the others. Places come a few times a second; what is between
// is drawn here.

import { make, reducedMotion } from "./dom.js";

/** @typedef {{ id: number, name: string, colour: number, bot: boolean }} Person */

/** How quickly a cursor closes on its place: after this many milliseconds a third of the way is left. */
const lag = 70;
/** A cursor that has not moved for so long steps back. */
const restAfter = 12_000;

/** @typedef {{ root: HTMLElement, label: HTMLElement, x: number, y: number, toX: number, toY: number, seen: number }} Cursor */

export class Cursors {
  #layer;
  #board;
  /** @type {Map<number, Cursor>} */
  #all = new Map();
  #drawing = false;
  #last = 0;

  /**
   * @param {HTMLElement} layer over the board
   * @param {{ width: number, height: number }} board in cells
   */
  constructor(layer, board) {
    this.#layer = layer;
    this.#board = board;
    new ResizeObserver(() => this.#wake()).observe(layer);
    setInterval(() => this.#rest(), 2_000);
  }

  clear() {
    this.#all.clear();
    this.#layer.replaceChildren();
  }

  /** @param {number} id */
  remove(id) {
    this.#all.get(id)?.root.remove();
    this.#all.delete(id);
  }

  /** @param {number} id @param {string} name */
  rename(id, name) {
    const c = this.#all.get(id);
    if (c) c.label.textContent = name;
  }

  /**
   * @param {Person} who @param {number} x in cells @param {number} y
   */
  move(who, x, y) {
    let c = this.#all.get(who.id);
    if (!c) {
      const root = make("div", "cursor");
      root.style.setProperty("--colour", `var(--c${who.colour})`);
      const label = make("span", "", who.name);
      root.append(arrow(), label);
      this.#layer.append(root);
      c = { root, label, x, y, toX: x, toY: y, seen: 0 };
      this.#all.set(who.id, c);
    }
    c.toX = x;
    c.toY = y;
    c.seen = performance.now();
    c.root.classList.remove("resting");
    this.#wake();
  }

  #wake() {
    if (this.#drawing) return;
    this.#drawing = true;
    this.#last = performance.now();
    requestAnimationFrame(this.#draw);
  }

  /** Moves the cursors until all have arrived. */
  #draw = () => {
    const now = performance.now();
    const left = reducedMotion() ? 0 : Math.exp(-(now - this.#last) / lag);
    this.#last = now;
    const { clientWidth, clientHeight } = this.#layer;
    let moving = false;
    for (const c of this.#all.values()) {
      c.x = c.toX + (c.x - c.toX) * left;
      c.y = c.toY + (c.y - c.toY) * left;
      if (Math.abs(c.toX - c.x) + Math.abs(c.toY - c.y) < 0.02) {
        c.x = c.toX;
        c.y = c.toY;
      } else {
        moving = true;
      }
      const share = c.x / this.#board.width;
      c.root.classList.toggle("flipped", share > 0.8);
      c.root.classList.toggle("raised", c.y / this.#board.height > 0.88);
      c.root.style.transform = `translate(${whole(share * clientWidth)}px, ${whole((c.y / this.#board.height) * clientHeight)}px)`;
    }
    this.#drawing = moving;
    if (moving) requestAnimationFrame(this.#draw);
  };

  #rest() {
    const now = performance.now();
    for (const c of this.#all.values()) c.root.classList.toggle("resting", now - c.seen > restAfter);
  }
}

/**
 * Rounds to a pixel of the screen, so that names stay crisp.
 * @param {number} v
 */
function whole(v) {
  return Math.round(v * devicePixelRatio) / devicePixelRatio;
}

function arrow() {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("viewBox", "0 0 16 18");
  const path = document.createElementNS(ns, "path");
  path.setAttribute("d", "M1.5 1.5v13.2l3.7-3.2 5.6-.4z");
  svg.append(path);
  return svg;
}
