// The few things that every part of the page needs of the document.

/**
 * The element of the document with this id.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const e = document.getElementById(id);
  if (!(e instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return e;
}

/**
 * A new element with its class and text.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} [className]
 * @param {string} [text]
 */
export function make(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Whether the reader asked for less motion. */
export function reducedMotion() {
  return calm.matches;
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let pending;

/**
 * Tells a screen reader, politely. What comes in quick succession replaces what
 * was not yet said.
 * @param {string} text
 */
export function announce(text) {
  clearTimeout(pending);
  pending = setTimeout(() => (byId("live", HTMLElement).textContent = text), 150);
}
