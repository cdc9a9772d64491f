// How frames read: pure functions from frames to words, tested without a page.

/** @typedef {import("./client.js").Frame} Frame */

/**
 * What the inspector filters by.
 * @typedef {"calls" | "events" | "cursors" | "streams" | "link"} Group
 */

/**
 * A frame in words: its place among the filters, one word for what it is, the
 * call it reads like.
 * @typedef {{ group: Group, word: string, summary: string }} Words
 */

/** A summary is cut here; the whole is a click away. */
const summaryLength = 140;

/**
 * Remembers which call an answer or an item belongs to, so that it can be named.
 */
export class Narrator {
  /** @type {Map<string, { target: string, stream: boolean }>} by direction and id */
  #calls = new Map();

  /**
   * @param {Frame} f
   * @returns {Words}
   */
  tell(f) {
    const m = f.message;
    if (!m) return { group: "link", word: f.dir === "note" ? "link" : f.note ?? "unknown", summary: f.dir === "note" ? f.note ?? "" : String(f.raw ?? "").replaceAll("\x1e", "") };
    const other = f.dir === "in" ? "out" : "in";
    switch (m.type) {
      case 1: {
        const cursor = m.target === "Move" || m.target === "Moved";
        const summary = call(m.target, m.arguments);
        if (m.invocationId === undefined) return { group: cursor ? "cursors" : "events", word: f.dir === "in" ? "event" : "send", summary };
        this.#remember(f.dir, m.invocationId, m.target, false, m.streamIds);
        return { group: m.streamIds ? "streams" : "calls", word: f.dir === "in" ? "ask" : "call", summary };
      }
      case 2: {
        const known = this.#calls.get(other + m.invocationId) ?? this.#calls.get(f.dir + m.invocationId);
        return { group: "streams", word: "item", summary: `${known?.target ?? "?"} ${brief(m.item, summaryLength)}` };
      }
      case 3: {
        const mine = this.#calls.has(f.dir + m.invocationId); // the end of an upload
        const key = (mine ? f.dir : other) + m.invocationId;
        const known = this.#calls.get(key);
        this.#calls.delete(key);
        const target = known?.target ?? "?";
        const group = known?.stream || mine ? "streams" : "calls";
        if (m.error !== undefined) return { group, word: "error", summary: `${target}: ${m.error}` };
        if (!("result" in m)) return { group, word: "end", summary: target };
        return { group, word: f.dir === "in" ? "result" : "answer", summary: `${target} = ${brief(m.result, summaryLength)}` };
      }
      case 4:
        this.#remember(f.dir, m.invocationId, m.target, true, m.streamIds);
        return { group: "streams", word: "stream", summary: call(m.target, m.arguments) };
      case 5:
        return { group: "streams", word: "cancel", summary: this.#calls.get(f.dir + m.invocationId)?.target ?? "?" };
      case 6:
        return { group: "link", word: "ping", summary: "" };
      case 7:
        return { group: "link", word: "close", summary: [m.error, m.allowReconnect ? "may reconnect" : ""].filter(Boolean).join(", ") };
    }
  }

  /**
   * @param {string} dir @param {string} id @param {string} target @param {boolean} stream @param {string[]} [uploads]
   */
  #remember(dir, id, target, stream, uploads = []) {
    this.#calls.set(dir + id, { target, stream: stream || uploads.length > 0 });
    // Items of an upload go the same way as the call.
    for (const u of uploads) this.#calls.set(dir + u, { target, stream: true });
    // Calls that never end must not pile up.
    for (const old of this.#calls.keys()) {
      if (this.#calls.size <= 500) break;
      this.#calls.delete(old);
    }
  }

  /** The connection has ended, and its calls with it. */
  forget() {
    this.#calls.clear();
  }
}

/** @param {string} target @param {unknown[]} args */
function call(target, args) {
  return `${target}(${args.map((a) => brief(a, summaryLength)).join(", ")})`.slice(0, 2 * summaryLength);
}

/**
 * A value on one line, cut when it has used up its budget of characters.
 * @param {unknown} v
 * @param {number} budget
 * @returns {string}
 */
export function brief(v, budget) {
  if (typeof v === "string") return JSON.stringify(v.length > budget ? v.slice(0, budget) + "…" : v);
  if (typeof v === "bigint") return `${v}`;
  if (v instanceof Uint8Array) return `<${v.length} bytes>`;
  if (v instanceof Date) return v.toISOString();
  if (typeof v !== "object" || v === null) return String(v);
  const list = Array.isArray(v);
  let left = budget;
  const parts = [];
  for (const [k, item] of Object.entries(v)) {
    if (left <= 0) {
      parts.push("…");
      break;
    }
    const part = (list ? "" : `${k}: `) + brief(item, left);
    left -= part.length + 2;
    parts.push(part);
  }
  return list ? `[${parts.join(", ")}]` : `{${parts.join(", ")}}`;
}

/**
 * A value over several lines. Short lists and objects stay on one.
 * @param {unknown} v
 * @param {string} [indent]
 * @returns {string}
 */
export function pretty(v, indent = "") {
  if (typeof v === "bigint") return `${v}`;
  if (v instanceof Uint8Array) return `<${v.length} bytes: ${hex(v.subarray(0, 32))}${v.length > 32 ? " …" : ""}>`;
  if (v instanceof Date) return v.toISOString();
  if (typeof v !== "object" || v === null) return JSON.stringify(v) ?? "undefined";
  const list = Array.isArray(v);
  const deeper = indent + "  ";
  const parts = Object.entries(v).map(([k, item]) => (list ? "" : `${JSON.stringify(k)}: `) + pretty(item, deeper));
  const [open, close] = list ? "[]" : "{}";
  const line = parts.join(", ");
  if (line.length + indent.length <= 48 && !line.includes("\n")) return list ? `[${line}]` : parts.length ? `{ ${line} }` : "{}";
  return `${open}\n${parts.map((p) => deeper + p).join(",\n")}\n${indent}${close}`;
}

/** @param {Uint8Array} b */
function hex(b) {
  return Array.from(b, (v) => v.toString(16).padStart(2, "0")).join(" ");
}

/**
 * Bytes as rows of eight: offset, hexadecimal, printable characters. What is
 * beyond limit is counted.
 * @param {Uint8Array} b
 * @param {number} [limit]
 */
export function hexDump(b, limit = 512) {
  const rows = [];
  for (let at = 0; at < b.length && at < limit; at += 8) {
    const row = b.subarray(at, Math.min(at + 8, limit));
    const printable = Array.from(row, (v) => (v >= 0x20 && v < 0x7f ? String.fromCharCode(v) : "·")).join("");
    rows.push(`${at.toString(16).padStart(4, "0")}  ${hex(row).padEnd(23)}  ${printable}`);
  }
  if (b.length > limit) rows.push(`…     ${b.length - limit} bytes more`);
  return rows.join("\n");
}

/**
 * The time of day, to the millisecond; hours are left out.
 * @param {number} at milliseconds since 1970
 */
export function clock(at) {
  const d = new Date(at);
  /** @param {number} n @param {number} digits */
  const pad = (n, digits) => String(n).padStart(digits, "0");
  return `${pad(d.getMinutes(), 2)}:${pad(d.getSeconds(), 2)}.${pad(d.getMilliseconds(), 3)}`;
}

/** @param {number} ms */
export function millis(ms) {
  return `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** @param {number} n bytes */
export function bytes(n) {
  return n < 1000 ? `${n} B` : n < 1_000_000 ? `${(n / 1000).toFixed(1)} kB` : `${(n / 1_000_000).toFixed(1)} MB`;
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? NaN;
}
