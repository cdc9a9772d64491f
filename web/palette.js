// The colours of the board. 0 is none.

import { byId, make } from "./dom.js";

/** Names of the colours, as read aloud. */
export const colourNames = ["empty", "ink", "copper", "coral", "amber", "green", "teal", "blue", "violet"];

/**
 * Fills the palette and reports choices.
 * @param {(colour: number) => void} onChoose
 * @returns {(colour: number) => void} chooses from elsewhere
 */
export function palette(onChoose) {
  const set = byId("palette", HTMLFieldSetElement);
  const radios = colourNames.map((name, i) => {
    const label = make("label", i === 0 ? "none" : "");
    const radio = make("input");
    radio.type = "radio";
    radio.name = "colour";
    radio.value = String(i);
    radio.setAttribute("aria-label", i === 0 ? "Erase" : name);
    radio.addEventListener("change", () => onChoose(i));
    const swatch = make("span");
    swatch.style.setProperty("--colour", `var(--c${i})`);
    label.title = i === 0 ? "Erase" : name;
    label.append(radio, swatch);
    return { label, radio };
  });
  // The eraser comes last, though it is number 0.
  set.append(...radios.slice(1).map((r) => r.label), /** @type {{ label: HTMLElement }} */ (radios[0]).label);
  return (colour) => {
    const r = radios[colour];
    if (!r) return;
    r.radio.checked = true;
    onChoose(colour);
  };
}

/**
 * A colour of the style sheet as the theme has it now.
 * @param {string} variable
 */
export function css(variable) {
  const probe = make("i");
  probe.hidden = true;
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/**
 * The colours of the board, for canvases.
 * @returns {string[]} by number; the first is that of the pegs of an empty cell
 */
export function inks() {
  return colourNames.map((_, i) => css(i === 0 ? "--peg" : `--c${i}`));
}

/**
 * Draws a motif into a canvas of its own.
 * @param {HTMLCanvasElement} canvas
 * @param {string[]} rows a digit a cell, a dot where there is none
 */
export function thumbnail(canvas, rows) {
  const scale = 5;
  canvas.width = (rows[0]?.length ?? 0) * scale;
  canvas.height = rows.length * scale;
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const ink = inks();
  rows.forEach((row, y) => {
    [...row].forEach((cell, x) => {
      if (cell === "." || cell === "0") return;
      ctx.fillStyle = ink[Number(cell)] ?? "";
      ctx.fillRect(x * scale, y * scale, scale, scale);
    });
  });
}
