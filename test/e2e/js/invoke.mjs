import { scenario, equal } from "./kit.mjs";

async function echoes(t, method, values) {
  const c = await t.open();
  for (const v of values) {
    const [give, want] = Array.isArray(v) && v.expect ? [v[0], v[1]] : [v, v];
    equal(await c.invoke(method, give), want, `${method}(${JSON.stringify(give)?.slice(0, 80)})`);
  }
}
// A value that comes back as another one.
const becomes = (give, want) => Object.assign([give, want], { expect: true });

scenario("invoke.string", (t) =>
  echoes(t, "EchoString", [
    "", "a", "plain text", 'quote " backslash \\ slash /', "<b>&'+</b>", "tab\tline\nreturn\r",
    "nul\u0000 bell\u0007 record\u001e unit\u001f del\u007f", "ä ö ü ß", "漢字 かな", "\u{1f600} \u{1f469}\u200d\u{1f467}",
    "\u2028 \u2029 \ufeff", '{"type":6}\u001e', "__proto__",
  ]));

scenario("invoke.int", (t) =>
  echoes(t, "EchoInt", [0, 1, -1, 127, 128, -32, -33, -128, -129, 255, 256, 32767, 32768, 65535, 65536, 2147483647, -2147483648]));

scenario("invoke.long", (t) =>
  echoes(t, "EchoLong", [0, -1, 4294967295, 4294967296, -2147483649, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]));

scenario("invoke.double", (t) =>
  echoes(t, "EchoDouble", [0, 1, -1.5, 0.1, 1e-7, 1e21, 5e-324, Number.MAX_VALUE, 3.141592653589793]));

scenario("invoke.double-not-finite", (t) => echoes(t, "EchoDouble", [NaN, Infinity, -Infinity]), { only: "msgpack" });

scenario("invoke.bool", (t) => echoes(t, "EchoBool", [true, false]));

scenario("invoke.nullable", (t) => echoes(t, "EchoNullable", ["x", "", null]));

scenario("invoke.bytes", (t) => {
  const lists = [[], [0], [1, 2, 255], Array.from({ length: 300 }, (_, i) => i % 256)];
  const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
  return echoes(t, "EchoBytes", lists.map((l) => (t.json ? base64(l) : new Uint8Array(l))));
});

// A DateTimeOffset is a string in JSON and [timestamp, minutes] in MessagePack.
scenario("invoke.time", (t) =>
  echoes(t, "EchoTime", t.json
    ? ["2002-04-01T10:20:15+00:00", "2002-04-01T10:20:15.123+02:00", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.9999999+00:00",
       becomes("2002-04-01T10:20:15Z", "2002-04-01T10:20:15+00:00")]
    : [[new Date("2002-04-01T10:20:15Z"), 0], [new Date("2002-04-01T10:20:15.123Z"), 120], [new Date("1969-12-31T23:59:59Z"), -330]]));

scenario("invoke.guid", (t) =>
  echoes(t, "EchoGuid", ["00000000-0000-0000-0000-000000000000", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    becomes("F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6")]));

// Members are camelCase in JSON and PascalCase in MessagePack, as in .NET.
const person = (t, name, age, tags, nick) =>
  t.json ? { name, age, tags, nick } : { Name: name, Age: age, Tags: tags, Nick: nick };

scenario("invoke.person", (t) =>
  echoes(t, "EchoPerson", [person(t, "Ada", 36, ["x", "y"], null), person(t, "", 0, [], ""), person(t, "漢", -1, ["a"], "nick"),
    becomes({ ...person(t, "Ada", 36, [], null), more: 1 }, person(t, "Ada", 36, [], null))]));

scenario("invoke.people", (t) =>
  echoes(t, "EchoPeople", [[], [person(t, "Ada", 36, ["x"], null), person(t, "Bob", 7, [], "b")]]));

scenario("invoke.map", (t) => echoes(t, "EchoMap", [{}, { a: 1 }, { "": 0, "ä b": -5, "a.b/c": 2147483647 }]));

scenario("invoke.three-arguments", async (t) => {
  const c = await t.open();
  equal(await c.invoke("Join3", "a", 1, true), "a|1|True", "Join3");
  equal(await c.invoke("Join3", "", -7, false), "|-7|False", "Join3");
});

scenario("invoke.nothing", async (t) => {
  const c = await t.open();
  equal(await c.invoke("Nothing"), null, "a method without a result");
  await c.hub.send("Nothing");
  await c.hub.send("NoSuchMethod");
  equal(await c.invoke("EchoString", "still here"), "still here", "after calls that want no answer");
});

scenario("invoke.renamed", async (t) => {
  const c = await t.open();
  equal(await c.invoke("renamed", "x"), "x", "by its given name");
  equal(await c.invoke("RENAMED", "x"), "x", "names are found in any case");
});

scenario("invoke.items", async (t) => {
  const [a, b] = [await t.open({ name: "a" }), await t.open({ name: "b" })];
  equal(await a.invoke("GetItem", "k"), null, "a value that was never put");
  await a.invoke("Item", "k", "v");
  equal(await a.invoke("GetItem", "k"), "v", "a value that was put");
  equal(await b.invoke("GetItem", "k"), null, "the value is the connection's own");
});

scenario("invoke.five-hundred-at-once", async (t) => {
  const c = await t.open();
  const order = [];
  const calls = Array.from({ length: 500 }, (_, i) => c.invoke("EchoInt", i).then((r) => order.push(r)));
  await Promise.all(calls);
  equal(order, calls.map((_, i) => i), "with one slot calls are answered in the order in which they came");
});

scenario("invoke.one-slot-and-four", async (t) => {
  // Two calls that sleep and one that does not: whether it overtakes them shows the slots.
  const order = async (path) => {
    const c = await t.open({ path });
    const done = [];
    await Promise.all([c.invoke("Sleep", 250), c.invoke("Sleep", 250), c.invoke("EchoString", "quick")].map((p) => p.then((r) => done.push(r))));
    return done;
  };
  equal(await order("/conformance"), [250, 250, "quick"], "one slot: one after the other");
  equal(await order("/parallel"), ["quick", 250, 250], "four slots: the quick one overtakes");
});
