// What a client saw in a recording, without what varies from run to run: ids,
// how hub messages were cut into frames, pings, Kestrel's own headers, and how
// equal JSON values are written (escapes, forms of numbers, order of members
// inside of arguments and results; that of the message itself counts).
import { split, unpack } from "./msgpack.mjs";
import { returns } from "./recordings.mjs";

// Headers that only Kestrel writes so.
const kestrels = /^(date|server|content-length|transfer-encoding|connection)$/i;

/**
 * The sequence of what was seen, as lines of text, by connection.
 * transports: only these are kept of what negotiate answers offer.
 */
export function seen(recording, { transports } = {}) {
  return new View(recording, transports).lines;
}

class View {
  lines = {};
  #bytes = {}; // what is left of a connection's flow of bytes
  #form = {}; // by connection: "" before the handshake's answer, then "hub"; "events" for
  // an event stream, "body" for an ordinary body in chunks
  #open; // the lines whose last one an ordinary body in chunks goes on
  #binary;

  constructor(recording, transports) {
    this.vary = Object.entries(recording.vary);
    this.transports = transports;
    this.acks = recording.acks !== "vary";
    this.returns = returns(recording);
    this.timing = recording.group === "timing";
    this.#binary = recording.protocol === "messagepack";
    for (const step of recording.steps) this.#step(step);
    for (const [conn, rest] of Object.entries(this.#bytes)) if (rest.length > 0) this.#put(conn, `rest ${rest.toString("hex")}`);
    if (recording.unordered) for (const l of Object.values(this.lines)) l.sort();
  }

  #put(conn, line) {
    for (const [name, value] of this.vary) line = line.split(value).join(`{${name}}`);
    (this.lines[conn || "-"] ??= []).push(line);
  }

  #step(s) {
    const conn = s.conn ?? "";
    if (s.response !== undefined) return this.#response(s, conn);
    if (s.dir !== "recv") return;
    if (s.text !== undefined) this.#feed(conn, Buffer.from(s.text));
    else if (s.hex !== undefined) this.#feed(conn, Buffer.from(s.hex, "hex"));
    else if (s.closed) this.#put(conn, `closed ${s.closed.code} ${s.closed.reason}`);
    else if (s.eof) {
      // Behind a close frame it depends on who is quicker.
      if (!/^closed /.test(this.lines[conn || "-"]?.at(-1) ?? "")) this.#put(conn, "eof");
    } else if (s.end) {
      if (this.#form[conn] !== "body") this.#put(conn, "end");
    } else if (s.pong !== undefined) this.#put(conn, `pong ${s.pong}`);
    else if (s.nothingFor) this.#put(conn, "nothing");
    else if (s.note && !/^waited /.test(s.note)) this.#put(conn, s.note);
  }

  #response({ response: r, responseTo, http }, conn) {
    if (!r) return this.#put(`${conn}/http`, "no response");
    const headers = Object.entries(r.headers).filter(([k]) => !kestrels.test(k)).map(([k, v]) => `${k.toLowerCase()}: ${v}`).sort().join("; ");
    const body = /negotiate/.test(http?.path ?? "") ? this.#offer(r.body) : r.body;
    const flow = r.status === 101 || (r.streaming && /event-stream/.test(headers));
    const where = responseTo ? `${conn}/${responseTo}` : flow ? conn : `${conn}/http`;
    this.#put(where, `${r.status} ${headers} ${body ?? r.bodyHex ?? ""}`);
    if (flow) this.#form[conn] = r.streaming ? "events" : this.returns.has(conn) ? "hub" : "";
    else if (r.streaming) [this.#form[conn], this.#open] = ["body", this.lines[where]]; // an ordinary body, in chunks
  }

  #offer(body) {
    if (!this.transports || !body?.includes("availableTransports")) return body;
    const answer = JSON.parse(body);
    answer.availableTransports = answer.availableTransports.filter((t) => this.transports.includes(t.transport));
    return JSON.stringify(answer);
  }

  #feed(conn, bytes) {
    if (this.#form[conn] === "body") {
      this.#open.push(this.#open.pop() + bytes.toString());
      return;
    }
    let rest = Buffer.concat([this.#bytes[conn] ?? Buffer.alloc(0), bytes]);
    const message = (m, ping) => {
      // How many items a stream yields until a timeout is no matter of theirs.
      m = this.#binary && this.#form[conn] ? m : canonical(m);
      if (!this.acks && /^(\{"type":8,|\[8,)/.test(m)) return;
      if (m !== ping && !(this.timing && /^(\{"type":2,|\[2,)/.test(m))) this.#put(conn, m);
    };
    if (this.#form[conn] === "events") {
      const end = rest.toString().lastIndexOf("\r\n");
      const lines = end < 0 ? [] : rest.toString().slice(0, end).split("\r\n").filter((l) => l && l !== ":");
      for (const l of lines) for (const m of l.replace(/^data: /, "").split("\u001e").filter(Boolean)) message(m, '{"type":6}');
      if (end >= 0) rest = Buffer.from(rest.toString().slice(end + 2));
    } else {
      for (let end; (!this.#form[conn] || !this.#binary) && (end = rest.indexOf(0x1e)) >= 0; ) {
        message(rest.toString("utf8", 0, end), '{"type":6}');
        rest = rest.subarray(end + 1);
        this.#form[conn] = "hub";
      }
      if (this.#form[conn] && this.#binary) {
        let messages;
        [messages, rest] = split(rest);
        for (const m of messages) message(JSON.stringify(sorted(unpack(m))), "[6]");
      }
    }
    this.#bytes[conn] = rest;
  }
}

/** One form for equal JSON: the text itself where it is no JSON. */
export function canonical(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  // Numbers become strings first, since JSON.parse rounds long integers.
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (t) => (t[0] === '"' ? t : `"\u0000#${number(t)}"`));
  const value = JSON.parse(marked.replaceAll("\u0000#", "\\u0000#"));
  for (const k of Object.keys(value ?? {})) value[k] = sorted(value[k]);
  return JSON.stringify(value).replace(/"\\u0000#([^"]*)"/g, "$1");
}

function number(text) {
  if (/^-?\d+$/.test(text) || /^-0[.0]*$/.test(text)) return text;
  const n = Number(text);
  return Number.isInteger(n) ? `${BigInt(n)}` : `${n}`;
}

// The value with the members of its objects in one order.
function sorted(v) {
  if (Array.isArray(v)) return v.map(sorted);
  if (typeof v !== "object" || v === null) return v;
  return Object.fromEntries(Object.keys(v).sort().map((k) => [k, sorted(v[k])]));
}

/** Where two runs differ: the first difference of each connection. */
export function differences(want, got) {
  const out = [];
  for (const conn of new Set([...Object.keys(want), ...Object.keys(got)])) {
    const w = want[conn] ?? [], g = got[conn] ?? [];
    for (let i = 0; i < Math.max(w.length, g.length); i++) {
      if (w[i] === g[i]) continue;
      out.push(`connection ${conn}, #${i}\n  got  ${cut(g[i], w[i])}\n  want ${cut(w[i], g[i])}`);
      break;
    }
  }
  return out;
}

// The part of a long line where it leaves the other.
function cut(line, other = "") {
  if (line === undefined) return "(nothing)";
  if (line.length <= 300) return line;
  let at = 0;
  while (at < line.length && line[at] === other[at]) at++;
  const from = Math.max(0, at - 100);
  return `${from > 0 ? "…" : ""}${line.slice(from, from + 300)}… (${line.length} characters)`;
}

/**
 * Whether two runs of a recording about time differ in time: pings that the
 * server sends, closes and ends come when they came then, within the second of
 * the server's ticker and what a busy machine adds.
 */
export function timeDifferences(want, got) {
  const marks = (r) => r.steps.filter((s) => s.dir === "recv" && (s.closed || s.eof)).map((s) => s.ms);
  const pings = (r) => r.steps.filter((s) => s.dir === "recv" && (/^(data: )?\{"type":6\}/.test(s.text ?? "") || s.hex === "029106")).map((s) => s.ms);
  const out = [];
  const [w, g] = [marks(want), marks(got)];
  w.forEach((ms, i) => {
    if (g[i] !== undefined && Math.abs(g[i] - ms) > 1700) out.push(`the end came after ${g[i]} ms, it was recorded after ${ms} ms`);
  });
  const [p, q] = [pings(want), pings(got)];
  if (Math.abs(p.length - q.length) > 1) out.push(`${q.length} pings came (at ${q} ms), ${p.length} were recorded (at ${p} ms)`);
  return out;
}
