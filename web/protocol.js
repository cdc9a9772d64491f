// The hub protocols of SignalR: what a message is, and how JSON and MessagePack
// put it on the wire. Version 1 of both (version 2 adds stateful reconnect).

import { decode, encode } from "./msgpack.js";

/**
 * A hub message. Field names are those of the JSON protocol.
 *
 * @typedef {{ type: 1, invocationId?: string, target: string, arguments: unknown[], streamIds?: string[] }} Invocation
 * @typedef {{ type: 2, invocationId: string, item: unknown }} StreamItem
 * @typedef {{ type: 3, invocationId: string, error?: string, result?: unknown }} Completion
 * @typedef {{ type: 4, invocationId: string, target: string, arguments: unknown[], streamIds?: string[] }} StreamInvocation
 * @typedef {{ type: 5, invocationId: string }} CancelInvocation
 * @typedef {{ type: 6 }} Ping
 * @typedef {{ type: 7, error?: string, allowReconnect?: boolean }} Close
 * @typedef {Invocation | StreamItem | Completion | StreamInvocation | CancelInvocation | Ping | Close} Message
 */

/**
 * One message as it stood on the wire: size counts its framing too. A message
 * of a type that this module does not know is undefined, and to be ignored.
 *
 * @typedef {{ message: Message | undefined, size: number, raw: string | Uint8Array<ArrayBuffer> }} Framed
 */

/**
 * @typedef {object} Protocol
 * @property {"json" | "messagepack"} name
 * @property {(m: Message) => Framed} encode
 * @property {(data: string | Uint8Array<ArrayBuffer>) => Framed[]} decode all messages of one WebSocket message
 */

/** The names of the message types, by number. */
export const typeNames = ["", "Invocation", "StreamItem", "Completion", "StreamInvocation", "CancelInvocation", "Ping", "Close", "Ack", "Sequence"];

const separator = "\x1e";
const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The first thing that a client sends, in JSON whatever the protocol.
 * @param {Protocol} protocol
 */
export function handshakeRequest(protocol) {
  return JSON.stringify({ protocol: protocol.name, version: 1 }) + separator;
}

/**
 * Splits the hub's answer to the handshake from the messages behind it.
 *
 * @param {string | Uint8Array<ArrayBuffer>} data
 * @returns {{ raw: string, rest: string | Uint8Array<ArrayBuffer> }}
 * @throws {Error} with the hub's words, if it refuses
 */
export function handshakeResponse(data) {
  const end = typeof data === "string" ? data.indexOf(separator) : data.indexOf(0x1e);
  if (end < 0) throw new Error("the hub's answer to the handshake is cut off");
  const raw = typeof data === "string" ? data.slice(0, end) : text.decode(data.subarray(0, end));
  const answer = JSON.parse(raw);
  if (typeof answer !== "object" || answer === null || "type" in answer) throw new Error("the hub did not answer the handshake");
  if (answer.error) throw new Error(`the hub refused the handshake: ${answer.error}`);
  return { raw, rest: typeof data === "string" ? data.slice(end + 1) : data.subarray(end + 1) };
}

/** @type {Protocol} */
export const json = {
  name: "json",

  encode(m) {
    const raw = JSON.stringify(m);
    return { message: m, size: utf8Length(raw) + 1, raw: raw + separator };
  },

  decode(data) {
    const all = typeof data === "string" ? data : text.decode(data);
    if (!all.endsWith(separator)) throw new Error("a message is cut off");
    return all
      .slice(0, -1)
      .split(separator)
      .map((raw) => ({ message: check(JSON.parse(raw)), size: utf8Length(raw) + 1, raw }));
  },
};

/** @type {Protocol} */
export const messagepack = {
  name: "messagepack",

  encode(m) {
    const body = encode(toArray(m));
    const prefix = [];
    let n = body.length;
    for (; n > 0x7f; n >>>= 7) prefix.push((n & 0x7f) | 0x80);
    prefix.push(n);
    const raw = new Uint8Array(prefix.length + body.length);
    raw.set(prefix);
    raw.set(body, prefix.length);
    return { message: m, size: raw.length, raw };
  },

  decode(data) {
    if (typeof data === "string") throw new Error("text, where the protocol is binary");
    /** @type {Framed[]} */
    const messages = [];
    for (let at = 0; at < data.length; ) {
      const { length, start } = prefixAt(data, at);
      if (length > data.length - start) throw new Error("a message is cut off");
      const body = data.subarray(start, start + length);
      messages.push({ message: check(fromArray(decode(body))), size: start + length - at, raw: data.slice(at, start + length) });
      at = start + length;
    }
    return messages;
  },
};

/**
 * Reads a length prefix: 7 bits a byte, low ones first, at most 5 bytes.
 * @param {Uint8Array} data @param {number} at
 */
function prefixAt(data, at) {
  let length = 0;
  for (let i = 0; i < 5; i++) {
    const b = data[at + i];
    if (b === undefined) throw new Error("a length is cut off");
    length += (b & 0x7f) * 2 ** (7 * i);
    if (b < 0x80) {
      if (length > 0x7fffffff) break;
      return { length, start: at + i + 1 };
    }
  }
  throw new Error("a message of more than 2 GiB");
}

/**
 * @param {Message} m
 * @returns {unknown[]}
 */
function toArray(m) {
  switch (m.type) {
    case 1:
    case 4: {
      const list = [m.type, {}, m.invocationId ?? null, m.target, m.arguments];
      return m.streamIds ? [...list, m.streamIds] : list;
    }
    case 2:
      return [2, {}, m.invocationId, m.item];
    case 3:
      if (m.error !== undefined) return [3, {}, m.invocationId, 1, m.error];
      return "result" in m ? [3, {}, m.invocationId, 3, m.result] : [3, {}, m.invocationId, 2];
    case 5:
      return [5, {}, m.invocationId];
    case 6:
      return [6];
    case 7:
      return [7, m.error ?? null, m.allowReconnect ?? false];
  }
}

/**
 * @param {unknown} a
 * @returns {unknown} what the JSON protocol would have; check looks at it
 */
function fromArray(a) {
  if (!Array.isArray(a)) throw new Error("a message that is no array");
  const [type, second, third, fourth, fifth, sixth] = a;
  switch (type) {
    case 1:
    case 4:
      return { type, ...(third === null ? {} : { invocationId: third }), target: fourth, arguments: fifth, ...(sixth?.length ? { streamIds: sixth } : {}) };
    case 2:
      return { type, invocationId: third, ...(a.length > 3 ? { item: fourth } : {}) };
    case 3:
      switch (fourth) {
        case 1:
          return { type, invocationId: third, error: fifth };
        case 2:
          return { type, invocationId: third };
        case 3:
          return { type, invocationId: third, ...(a.length > 4 ? { result: fifth } : {}) };
      }
      throw new Error("a completion of no kind");
    case 5:
      return { type, invocationId: third };
    case 7:
      return { type, ...(second === null ? {} : { error: second }), ...(third ? { allowReconnect: true } : {}) };
    default:
      return { type };
  }
}

/**
 * Looks at what came before anything relies on it.
 * @param {any} m
 * @returns {Message | undefined} undefined for an unknown type
 */
function check(m) {
  /** @param {boolean} ok @param {string} what */
  const rule = (ok, what) => {
    if (!ok) throw new Error(`${typeNames[m.type]}: ${what}`);
  };
  /** @param {unknown} v */
  const isText = (v) => typeof v === "string" && v !== "";
  if (typeof m !== "object" || m === null || typeof m.type !== "number") throw new Error("a message without a type");
  switch (m.type) {
    case 1:
    case 4:
      rule(isText(m.target), "target is missing");
      rule(Array.isArray(m.arguments), "arguments is no list");
      rule(m.type === 1 && m.invocationId === undefined ? true : isText(m.invocationId), "invocationId is missing");
      return m;
    case 2:
      rule(isText(m.invocationId), "invocationId is missing");
      rule("item" in m, "item is missing");
      return m;
    case 3:
      rule(isText(m.invocationId), "invocationId is missing");
      rule(m.error === undefined || typeof m.error === "string", "error is no text");
      rule(m.error === undefined || m.result === undefined, "error and result exclude each other");
      return m;
    case 5:
      rule(isText(m.invocationId), "invocationId is missing");
      return m;
    case 6:
    case 7:
      return m;
    default:
      return undefined;
  }
}

/** @param {string} s */
function utf8Length(s) {
  return utf8.encode(s).length;
}
