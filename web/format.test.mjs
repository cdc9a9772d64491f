import assert from "node:assert/strict";
import { test } from "node:test";
import { Narrator, brief, bytes, clock, hexDump, median, millis, pretty } from "./format.js";

/** @param {Narrator} n @param {"in" | "out"} dir @param {any} message */
const tell = (n, dir, message) => {
  const { group, word, summary } = n.tell({ dir, at: 0, size: 1, message });
  return `${group} ${word} ${summary}`;
};

test("every kind of message reads like what it is", () => {
  const n = new Narrator();
  for (const [dir, message, want] of /** @type {["in" | "out", any, string][]} */ ([
    ["in", { type: 1, target: "Painted", arguments: [4, 12, 7, 3] }, "events event Painted(4, 12, 7, 3)"],
    ["in", { type: 1, target: "Moved", arguments: [4, 1.5, 2] }, "cursors event Moved(4, 1.5, 2)"],
    ["out", { type: 1, target: "Move", arguments: [1, 2] }, "cursors send Move(1, 2)"],
    ["out", { type: 1, invocationId: "0", target: "Echo", arguments: [7] }, "calls call Echo(7)"],
    ["in", { type: 3, invocationId: "0", result: 7 }, "calls result Echo = 7"],
    ["out", { type: 1, invocationId: "1", target: "Rename", arguments: [""] }, 'calls call Rename("")'],
    ["in", { type: 3, invocationId: "1", error: "No." }, "calls error Rename: No."],
    ["out", { type: 4, invocationId: "2", target: "Pulse", arguments: [500] }, "streams stream Pulse(500)"],
    ["in", { type: 2, invocationId: "2", item: { people: 1 } }, "streams item Pulse {people: 1}"],
    ["out", { type: 5, invocationId: "2" }, "streams cancel Pulse"],
    ["in", { type: 3, invocationId: "2" }, "streams end Pulse"],
    ["out", { type: 1, invocationId: "3", target: "Stamp", arguments: [], streamIds: ["4"] }, "streams call Stamp()"],
    ["out", { type: 2, invocationId: "4", item: { x: 1 } }, "streams item Stamp {x: 1}"],
    ["out", { type: 3, invocationId: "4" }, "streams end Stamp"],
    ["in", { type: 3, invocationId: "3", result: 1 }, "streams result Stamp = 1"],
    ["in", { type: 1, invocationId: "s1", target: "ChooseMotif", arguments: ["Ada"] }, 'calls ask ChooseMotif("Ada")'],
    ["out", { type: 3, invocationId: "s1", result: "fish" }, 'calls answer ChooseMotif = "fish"'],
    ["in", { type: 3, invocationId: "99", result: null }, "calls result ? = null"],
    ["in", { type: 6 }, "link ping "],
    ["in", { type: 7, error: "full", allowReconnect: true }, "link close full, may reconnect"],
  ])) {
    assert.equal(tell(n, dir, message), want);
  }
  assert.deepEqual(n.tell({ dir: "out", at: 0, size: 1, note: "handshake", raw: "{}\x1e" }), { group: "link", word: "handshake", summary: "{}" });
  assert.deepEqual(n.tell({ dir: "note", at: 0, size: 0, note: "WebSocket open" }), { group: "link", word: "link", summary: "WebSocket open" });
});

test("calls that never end do not pile up", () => {
  const n = new Narrator();
  for (let i = 0; i < 2_000; i++) tell(n, "out", { type: 1, invocationId: `${i}`, target: `T${i}`, arguments: [] });
  assert.equal(tell(n, "in", { type: 3, invocationId: "0", result: 1 }), "calls result ? = 1");
  assert.equal(tell(n, "in", { type: 3, invocationId: "1999", result: 1 }), "calls result T1999 = 1");
});

test("a summary is short however large the value", () => {
  assert.ok(brief(Array(10_000).fill({ a: "b".repeat(1000) }), 100).length < 400);
  assert.equal(brief({ a: [1, null, "x"], b: new Uint8Array(3), c: 5n }, 99), '{a: [1, null, "x"], b: <3 bytes>, c: 5}');
});

test("the whole is laid out", () => {
  assert.equal(pretty({ type: 1, target: "Painted", arguments: [1, 2] }), '{ "type": 1, "target": "Painted", "arguments": [1, 2] }'.length > 48 ? '{\n  "type": 1,\n  "target": "Painted",\n  "arguments": [1, 2]\n}' : "");
  assert.equal(pretty({}), "{}");
  assert.equal(pretty([{ a: undefined }]), '[{ "a": undefined }]');
  assert.equal(hexDump(new Uint8Array([0x91, 0x06, 0x41])), "0000  91 06 41                 ··A");
  assert.match(hexDump(new Uint8Array(600)), /88 bytes more$/);
});

test("numbers", () => {
  assert.equal(clock(new Date(2026, 0, 1, 9, 2, 11, 48).getTime()), "02:11.048");
  assert.deepEqual([millis(0.512), millis(12.34), millis(480.2)], ["0.51 ms", "12.3 ms", "480 ms"]);
  assert.deepEqual([bytes(999), bytes(1000), bytes(2_500_000)], ["999 B", "1.0 kB", "2.5 MB"]);
  assert.equal(median([3, 1, 2]), 2);
});
