import assert from "node:assert/strict";
import { test } from "node:test";
import { handshakeRequest, handshakeResponse, json, messagepack } from "./protocol.js";

/** @param {string | Uint8Array} b */
const hex = (b) => Buffer.from(/** @type {Uint8Array} */ (b)).toString("hex");
/** @param {string} s */
const bytes = (s) => new Uint8Array(Buffer.from(s.replaceAll(" ", ""), "hex"));

/** @type {[import("./protocol.js").Message, string, string][]} message, JSON, MessagePack with its length */
const messages = [
  [{ type: 1, target: "Send", arguments: [42] }, '{"type":1,"target":"Send","arguments":[42]}', "0b 95 01 80 c0 a4 53656e64 91 2a"],
  [{ type: 1, invocationId: "7", target: "M", arguments: [] }, '{"type":1,"invocationId":"7","target":"M","arguments":[]}', "08 95 01 80 a137 a14d 90"],
  [
    { type: 1, invocationId: "7", target: "M", arguments: [], streamIds: ["8"] },
    '{"type":1,"invocationId":"7","target":"M","arguments":[],"streamIds":["8"]}',
    "0b 96 01 80 a137 a14d 90 91 a138",
  ],
  [{ type: 2, invocationId: "x", item: null }, '{"type":2,"invocationId":"x","item":null}', "06 94 02 80 a178 c0"],
  [{ type: 3, invocationId: "x", error: "no" }, '{"type":3,"invocationId":"x","error":"no"}', "09 95 03 80 a178 01 a26e6f"],
  [{ type: 3, invocationId: "x" }, '{"type":3,"invocationId":"x"}', "06 94 03 80 a178 02"],
  [{ type: 3, invocationId: "x", result: null }, '{"type":3,"invocationId":"x","result":null}', "07 95 03 80 a178 03 c0"],
  [{ type: 4, invocationId: "x", target: "S", arguments: ["a"] }, '{"type":4,"invocationId":"x","target":"S","arguments":["a"]}', "0a 95 04 80 a178 a153 91 a161"],
  [{ type: 5, invocationId: "x" }, '{"type":5,"invocationId":"x"}', "05 93 05 80 a178"],
  [{ type: 6 }, '{"type":6}', "02 91 06"],
  [{ type: 7, error: "e", allowReconnect: true }, '{"type":7,"error":"e","allowReconnect":true}', "05 93 07 a165 c3"],
];

test("each message has its bytes in JSON and comes back", () => {
  for (const [message, want] of messages) {
    const framed = json.encode(message);
    assert.equal(framed.raw, want + "\x1e");
    assert.equal(framed.size, want.length + 1);
    const [back] = json.decode(framed.raw);
    assert.deepEqual(back, { message, size: framed.size, raw: want });
  }
});

test("each message has its bytes in MessagePack and comes back", () => {
  for (const [message, , want] of messages) {
    const framed = messagepack.encode(message);
    assert.equal(hex(framed.raw), want.replaceAll(" ", ""));
    const [back] = messagepack.decode(framed.raw);
    assert.deepEqual(back, { message, size: framed.size, raw: framed.raw });
  }
});

test("a WebSocket message holds several messages", () => {
  assert.deepEqual(json.decode('{"type":6}\x1e{"type":5,"invocationId":"1"}\x1e').map((f) => f.message?.type), [6, 5]);
  assert.deepEqual(messagepack.decode(bytes("029106 05930580a131")).map((f) => f.message?.type), [6, 5]);
  assert.deepEqual(json.decode(new TextEncoder().encode('{"type":6}\x1e'))[0]?.message, { type: 6 });
});

test("the length prefix is 7 bits a byte, low ones first", () => {
  for (const [n, prefix] of [[100, "6d"], [121, "8201"], [16384, "8a8001"], [2097152, "8c808001"]]) {
    const framed = messagepack.encode({ type: 1, target: "T", arguments: ["x".repeat(Number(n))] });
    assert.ok(hex(framed.raw).startsWith(String(prefix) + "9501"), `${n}: ${hex(framed.raw).slice(0, 16)}`);
    assert.equal(messagepack.decode(framed.raw).length, 1);
  }
});

test("what the hub writes is read: six elements, an empty list of streams, fixed widths", () => {
  const [f] = messagepack.decode(bytes("0c 96 01 80 c0 a4 53656e64 91 2a 90"));
  assert.deepEqual(f?.message, { type: 1, target: "Send", arguments: [42] });
});

test("an unknown type is no message and no error", () => {
  assert.equal(json.decode('{"type":99}\x1e')[0]?.message, undefined);
  assert.equal(messagepack.decode(bytes("03 92 63 01"))[0]?.message, undefined);
});

test("malformed messages are refused", () => {
  for (const raw of ['{"type":6}', "\x1e", "[]\x1e", "null\x1e", '{"type":"1"}\x1e', '{"type":1,"arguments":[]}\x1e', '{"type":1,"target":"x"}\x1e',
    '{"type":1,"target":"x","arguments":[],"invocationId":null}\x1e', '{"type":2,"invocationId":"1"}\x1e', '{"type":3}\x1e',
    '{"type":3,"invocationId":"1","error":"e","result":1}\x1e', '{"type":4,"target":"x","arguments":[]}\x1e', '{"type":5}\x1e']) {
    assert.throws(() => json.decode(raw), Error, raw);
  }
  for (const raw of ["80", "8080808008", "ffffffffff01", "05 9106", "00", "01c0", "0194", "06 95 01 80 c0 c0 90", "07 94 03 80 a131 04", "05 93 02 80 a131"]) {
    assert.throws(() => messagepack.decode(bytes(raw)), Error, raw);
  }
  assert.throws(() => messagepack.decode("text"));
});

test("the handshake", () => {
  assert.equal(handshakeRequest(messagepack), '{"protocol":"messagepack","version":1}\x1e');
  assert.deepEqual(handshakeResponse("{}\x1e"), { raw: "{}", rest: "" });
  assert.equal(handshakeResponse('{}\x1e{"type":6}\x1e').rest, '{"type":6}\x1e');
  assert.equal(hex(handshakeResponse(bytes("7b7d1e029106")).rest), "029106");
  assert.throws(() => handshakeResponse('{"error":"The protocol is not supported."}\x1e'), /not supported/);
  assert.throws(() => handshakeResponse("{}"), /cut off/);
  assert.throws(() => handshakeResponse('{"type":1}\x1e'), /did not answer/);
});
