import { scenario, equal, fails, gather, truly, within } from "./kit.mjs";

const closedWith = (text) => "Server returned an error on close: Connection closed with an error." + text;

scenario("payload.one-megabyte-to-the-client", async (t) => {
  const c = await t.open();
  const subject = new t.env.signalR.Subject();
  const answer = c.invoke("Concat", subject);
  const part = "0123456789abcdefä漢\u{1f600}".repeat(1000); // below the hub's limit of 32 KiB a message
  for (let i = 0; i < 40; i++) subject.next(part);
  subject.complete();
  const got = await within(20000, answer, "an answer of one megabyte");
  truly(got.length === part.length * 40 && got === part.repeat(40), `an answer of ${part.length * 40} characters, got ${got.length}`);
  equal(await c.invoke("EchoString", "ok"), "ok", "echo");
});

scenario("payload.one-megabyte-to-a-group", async (t) => {
  // Many large messages to several members at once, in order.
  const tag = `g-${Math.random()}`, text = "x".repeat(30000);
  const all = await Promise.all([1, 2, 3].map(() => t.open()));
  for (const c of all) await c.invoke("AddTo", tag);
  for (let i = 0; i < 35; i++) await all[0].invoke("ToGroup", tag, `${i}:${text}`);
  for (const c of all) {
    const got = await c.settled();
    truly(got.length === 35 && got.every((m, i) => m === `${i}:${text}`), `35 messages of 30,000 characters in order, got ${got.length}`);
  }
});

scenario("payload.at-the-limit", async (t) => {
  // 32,768 bytes, framing included, may come in one message; one more may not.
  const c = await t.open({ path: "/detailed" });
  const overhead = t.json
    ? '{"arguments":[""],"invocationId":"0","target":"EchoString","type":1}\u001e'.length
    : 3 + 1 + 1 + 1 + 2 + 11 + 1 + 3; // length, array, type, headers, id, target, arguments, string
  const most = 32768 - overhead;
  equal((await c.invoke("EchoString", "x".repeat(most))).length, most, "a message of exactly the limit");
  const call = fails(c.invoke("EchoString", "x".repeat(most + 1)), "a message above the limit");
  const text = closedWith(" InvalidDataException: The maximum message size of 32768B was exceeded. The message size can be configured in AddHubOptions.");
  equal(await c.closed(), text, "the end of the connection");
  equal(await call, text, "the call that was too large");
});

scenario("payload.above-the-limit-reconnects", async (t) => {
  const c = await t.open({ path: "/small", reconnect: [0, 100, 1000] });
  const call = fails(c.invoke("EchoString", "x".repeat(1024)), "a message above the limit of /small");
  equal(await c.events.take(), ["reconnecting", closedWith("")], "first event");
  equal(await call, closedWith(""), "the call that was too large");
  equal((await c.events.take())[0], "reconnected", "second event");
  equal(await c.invoke("EchoString", "ok"), "ok", "echo");
});

scenario("payload.small-hub-large-answers", async (t) => {
  // The limit is on what comes in; what goes out has none.
  const c = await t.open({ path: "/small" });
  await c.invoke("ToCallerMany", 500);
  equal((await c.settled()).length, 500, "messages");
});

scenario("payload.hostile-arguments", async (t) => {
  const c = await t.open();
  const deep = (n) => { let v = 1; for (let i = 0; i < n; i++) v = [v]; return v; };
  const failed = (name) => `Failed to invoke '${name}' due to an error on the server.`;
  for (const v of [deep(50), [[]], {}, { __proto__: null, a: { b: { c: [] } } }]) equal(await fails(c.invoke("EchoString", v), "EchoString"), failed("EchoString"), "a wrong shape");
  equal(await fails(c.invoke("EchoString", ...Array(2000).fill("x")), "EchoString"), failed("EchoString"), "2,000 arguments for one");
  equal(await fails(c.invoke("EchoInt", 1e308), "EchoInt"), failed("EchoInt"), "a number far too large");
  const keys = JSON.parse('{"__proto__":1,"constructor":2,"toString":3}');
  if (t.json) equal(await c.invoke("EchoMap", keys), keys, "keys that mean something to JavaScript");
  equal(await c.invoke("EchoString", "ok"), "ok", "the connection lives on");
});

scenario("payload.lone-surrogates", async (t) => {
  const c = await t.open();
  const got = await c.invoke("EchoString", "a\ud800b");
  truly(got.startsWith("a") && got.endsWith("b"), `half a pair comes back as something harmless: ${JSON.stringify(got)}`);
  equal(await c.invoke("EchoString", "ok"), "ok", "the connection lives on");
}, { only: "msgpack" });

// Bytes that no client would send, on a bare WebSocket; a proper client looks on.
async function raw(t, frames) {
  const WebSocket = globalThis.WebSocket ?? (await import("ws")).default;
  const ws = new WebSocket(t.env.hub.replace(/^http/, "ws") + "/detailed");
  ws.binaryType = "arraybuffer";
  const heard = [];
  const ended = new Promise((resolve) => {
    ws.onmessage = (m) => heard.push(typeof m.data === "string" ? m.data : new TextDecoder().decode(m.data));
    ws.onclose = (e) => resolve({ code: e.code, heard: heard.join("") });
  });
  await within(5000, new Promise((resolve, reject) => ((ws.onopen = resolve), (ws.onerror = reject))), "a bare WebSocket");
  for (const f of frames) ws.send(f);
  return within(10000, ended, "the end of a bare WebSocket");
}
const handshake = (t) => `{"protocol":"${t.json ? "json" : "messagepack"}","version":1}\u001e`;
const closeMessage = (error) => `{"type":7,"error":"Connection closed with an error.${error}","allowReconnect":true}\u001e`;

scenario("payload.not-json", async (t) => {
  const c = await t.open();
  for (const garbage of ["not json at all", "{", "[]", "null", '{"type":"1"}', "\u0000"]) {
    const { code, heard } = await raw(t, [handshake(t), garbage + "\u001e"]);
    equal(code, 1000, `close code after ${JSON.stringify(garbage)}`);
    truly(/^\{\}\u001e\{"type":7,"error":"Connection closed with an error\..*","allowReconnect":true\}\u001e$/.test(heard), `a Close message with the reason after ${JSON.stringify(garbage)}: ${heard}`);
  }
  equal(await c.invoke("EchoString", "ok"), "ok", "another connection lives on");
}, { only: "json" });

scenario("payload.not-messagepack", async (t) => {
  const c = await t.open();
  const bad = { "a length that never ends": [0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a map": [0x01, 0x80], "an array of 2^32-1": [0x05, 0xdd, 0xff, 0xff, 0xff, 0xff] };
  for (const [what, bytes] of Object.entries(bad)) {
    const { code } = await raw(t, [handshake(t), new Uint8Array(bytes)]);
    equal(code, 1000, `close code after ${what}`);
  }
  equal(await c.invoke("EchoString", "ok"), "ok", "another connection lives on");
}, { only: "msgpack" });

scenario("payload.no-handshake", async (t) => {
  const { code, heard } = await raw(t, ['{"type":6}\u001e']);
  equal(code, 1000, "close code of a connection that skips the handshake");
  truly(heard.startsWith('{"error":"'), `the handshake's answer: ${heard}`);
});
