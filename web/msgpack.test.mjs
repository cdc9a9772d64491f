import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "./msgpack.js";

/** @param {Uint8Array} b */
const hex = (b) => Buffer.from(b).toString("hex");
/** @param {string} s */
const bytes = (s) => new Uint8Array(Buffer.from(s.replaceAll(" ", ""), "hex"));

// value, its only encoding
const both = [
  [null, "c0"], [true, "c3"], [false, "c2"],
  [0, "00"], [127, "7f"], [128, "cc80"], [255, "ccff"], [256, "cd0100"], [65535, "cdffff"], [65536, "ce00010000"],
  [4294967295, "ceffffffff"], [4294967296, "cf0000000100000000"], [Number.MAX_SAFE_INTEGER, "cf001fffffffffffff"],
  [-1, "ff"], [-32, "e0"], [-33, "d0df"], [-128, "d080"], [-129, "d1ff7f"], [-32768, "d18000"], [-32769, "d2ffff7fff"],
  [-2147483648, "d280000000"], [-2147483649, "d3ffffffff7fffffff"], [Number.MIN_SAFE_INTEGER, "d3ffe0000000000001"],
  [0xffffffffffffffffn, "cfffffffffffffffff"], [-0x8000000000000000n, "d38000000000000000"],
  [1.5, "cb3ff8000000000000"], [Infinity, "cb7ff0000000000000"], [1e300, "cb7e37e43c8800759c"],
  ["", "a0"], ["é", "a2c3a9"], ["\ufeffx", "a4efbbbf78"], ["x".repeat(31), "bf" + "78".repeat(31)], ["x".repeat(32), "d920" + "78".repeat(32)],
  ["x".repeat(256), "da0100" + "78".repeat(256)], ["x".repeat(65536), "db00010000" + "78".repeat(65536)],
  [new Uint8Array([1, 2]), "c4020102"], [new Uint8Array(256), "c50100" + "00".repeat(256)],
  [[], "90"], [[1, [2]], "920191" + "02"], [Array(16).fill(0), "dc0010" + "00".repeat(16)], [Array(65536).fill(0), "dd00010000" + "00".repeat(65536)],
  [{}, "80"], [{ a: 1, b: "c" }, "82a16101a162a163"],
  [new Date("2000-01-01T00:00:00Z"), "d6ff386d4380"],
  [new Date("2002-04-01T10:20:15.123Z"), "d7ff1d5353003ca8345f"],
  [new Date("2106-02-07T06:28:16Z"), "d7ff0000000100000000"],
  [new Date("1969-12-31T23:59:59Z"), "c70cff00000000ffffffffffffffff"],
];

test("values have one shortest encoding and come back", () => {
  for (const [value, want] of both) {
    const got = encode(value);
    assert.equal(hex(got), want);
    assert.deepEqual(decode(got), value);
  }
});

test("undefined is nil, and an undefined member is left out", () => {
  assert.equal(hex(encode(undefined)), "c0");
  assert.equal(hex(encode({ a: undefined, b: 1 })), "81a16201");
});

test("every width is read", () => {
  for (const [input, want] of [
    ["cc05", 5], ["cd0005", 5], ["ce00000005", 5], ["cf0000000000000005", 5], ["d0fb", -5], ["d1fffb", -5],
    ["d2fffffffb", -5], ["d3fffffffffffffffb", -5], ["ca3fc00000", 1.5], ["d901" + "61", "a"], ["da0001" + "61", "a"],
    ["db00000001" + "61", "a"], ["dc000101", [1]], ["dd0000000101", [1]], ["de0001a16101", { a: 1 }], ["df00000001a16101", { a: 1 }],
    ["c60000000101", new Uint8Array([1])], ["8101c3", { 1: true }],
  ]) {
    assert.deepEqual(decode(bytes(/** @type {string} */ (input))), want, String(input));
  }
  assert.deepEqual(decode(bytes("d405aa")), { extension: 5, data: bytes("aa") });
  assert.deepEqual(decode(bytes("c70205aabb")), { extension: 5, data: bytes("aabb") });
});

test("what is malformed is refused, whatever length it declares", () => {
  for (const input of [
    "", "c1", "cc", "cd00", "cb00", "a2" + "61", "d9ff", "dbffffffff", "c6ffffffff00", "ddffffffff", "dfffffffff", "c9ffffffffff",
    "91", "81a161", "0000", "d7ffffffffffffffffff", "a1ff", "91".repeat(70) + "00",
  ]) {
    assert.throws(() => decode(bytes(input)), undefined, input);
  }
});

test("a key __proto__ is a member like any other", () => {
  const o = /** @type {object} */ (decode(bytes("81a95f5f70726f746f5f5f" + "81a16101")));
  assert.equal(Object.getPrototypeOf(o), Object.prototype);
  assert.deepEqual(Object.keys(o), ["__proto__"]);
});

test("what cannot be encoded is refused", () => {
  const round = /** @type {unknown[]} */ ([]);
  round.push(round);
  for (const v of [() => 1, Symbol("s"), 1n << 64n, new Date(NaN), round]) assert.throws(() => encode(v), TypeError);
});

test("a view into a larger buffer is read from its own start", () => {
  assert.deepEqual(decode(bytes("ffff9201a161ff").subarray(2, 6)), [1, "a"]);
});

test("random bytes never do worse than throw", () => {
  let seed = 1;
  const next = () => (seed = (seed * 48271) % 0x7fffffff) & 0xff;
  for (let round = 0; round < 20_000; round++) {
    const input = Uint8Array.from({ length: next() % 24 }, next);
    let v;
    try {
      v = decode(input);
    } catch (err) {
      assert.ok(err instanceof RangeError || err instanceof TypeError, String(err));
      continue;
    }
    assert.deepEqual(decode(encode(v)), v);
  }
});
