import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { HubClient } from "./client.js";
import { json, messagepack } from "./protocol.js";

// The hub's end of a WebSocket, by hand.
class FakeSocket {
  static OPEN = 1;
  /** @type {FakeSocket[]} */
  static all = [];
  readyState = 0;
  bufferedAmount = 0;
  binaryType = "";
  /** @type {(string | Uint8Array)[]} */
  sent = [];
  onopen = /** @type {any} */ (null);
  onclose = /** @type {any} */ (null);
  onmessage = /** @type {any} */ (null);

  constructor(/** @type {URL} */ url) {
    this.url = String(url);
    FakeSocket.all.push(this);
  }
  open() {
    this.readyState = 1;
    this.onopen?.({});
  }
  send(/** @type {string | Uint8Array} */ data) {
    this.sent.push(data);
  }
  close() {
    this.readyState = 3;
  }
  say(/** @type {string | Uint8Array} */ data) {
    this.onmessage?.({ data: typeof data === "string" ? data : data.slice().buffer });
  }
  lose(code = 1006) {
    this.readyState = 3;
    this.onclose?.({ code, reason: "" });
  }
  /** What the client sent behind the handshake, pings left out. */
  heard(protocol = json) {
    return this.sent.slice(1).flatMap((d) => protocol.decode(/** @type {any} */ (d))).map((f) => /** @type {any} */ (f.message)).filter((m) => m.type !== 6);
  }
}

const real = { fetch: globalThis.fetch, WebSocket: globalThis.WebSocket, now: performance.now };
let clock = 0;
/** @type {any} */
let negotiated;

beforeEach(() => {
  FakeSocket.all = [];
  negotiated = { negotiateVersion: 1, connectionId: "id", connectionToken: "token/1", availableTransports: [{ transport: "WebSockets", transferFormats: ["Text", "Binary"] }] };
  clock = 0;
  performance.now = () => clock;
  globalThis.fetch = /** @type {any} */ (async () => ({ ok: true, status: 200, text: async () => JSON.stringify(negotiated) }));
  globalThis.WebSocket = /** @type {any} */ (FakeSocket);
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
});
afterEach(() => {
  mock.timers.reset();
  Object.assign(globalThis, { fetch: real.fetch, WebSocket: real.WebSocket });
  performance.now = real.now;
});

/** Lets everything that waits for a promise go on. */
const settle = () => new Promise((resolve) => setImmediate(resolve));
const pass = async (/** @type {number} */ ms) => {
  clock += ms;
  mock.timers.tick(ms);
  await settle();
};
const socket = () => /** @type {FakeSocket} */ (FakeSocket.all.at(-1));

/** A client that is connected, and what it told its owner. */
async function connected(/** @type {import("./client.js").Options} */ options = {}) {
  /** @type {string[]} */
  const states = [];
  /** @type {import("./client.js").Frame[]} */
  const frames = [];
  const client = new HubClient("http://127.0.0.1:1/hub", {
    delay: () => 1_000,
    onState: (s) => states.push(s.name),
    onFrame: (f) => frames.push(f),
    ...options,
  });
  client.start();
  await settle();
  socket().open();
  await settle();
  socket().say(options.protocol ? new TextEncoder().encode("{}\x1e") : "{}\x1e");
  return { client, states, frames };
}

test("negotiates, opens the WebSocket with the token, shakes hands and pings", async () => {
  const { states, frames } = await connected();
  assert.equal(socket().url, "ws://127.0.0.1:1/hub?id=token%2F1");
  assert.deepEqual(socket().sent, ['{"protocol":"json","version":1}\x1e', '{"type":6}\x1e']);
  assert.deepEqual(states, ["connecting", "connected"]);
  assert.deepEqual(frames.map((f) => `${f.dir} ${f.note ?? f.message?.type}`), [
    "note POST /hub/negotiate?negotiateVersion=1", "note WebSocket open", "out handshake", "in handshake", "out 6",
  ]);
});

test("a call gets its result, another its error", async () => {
  const { client } = await connected();
  const sum = client.invoke("Sum", 1, 2);
  const bad = client.invoke("Bad");
  assert.deepEqual(socket().heard(), [
    { type: 1, invocationId: "0", target: "Sum", arguments: [1, 2] },
    { type: 1, invocationId: "1", target: "Bad", arguments: [] },
  ]);
  socket().say('{"type":3,"invocationId":"1","error":"no"}\x1e{"type":3,"invocationId":"0","result":3}\x1e{"type":3,"invocationId":"9","result":3}\x1e');
  assert.equal(await sum, 3);
  await assert.rejects(bad, /^Error: no$/);
});

test("events arrive in order, whatever the case of the target, behind the handshake too", async () => {
  const client = new HubClient("http://127.0.0.1:1/hub", {});
  /** @type {unknown[]} */
  const got = [];
  client.on("Said", (a, b) => void got.push([a, b]));
  client.start();
  await settle();
  socket().open();
  await settle();
  socket().say('{}\x1e{"type":1,"target":"SAID","arguments":[1,2]}\x1e{"type":1,"target":"nobody","arguments":[]}\x1e{"type":1,"target":"said","arguments":[3]}\x1e');
  assert.deepEqual(got, [[1, 2], [3, undefined]]);
});

test("a stream ranges over its items", async () => {
  const { client } = await connected();
  const stream = client.stream("Count", 2);
  socket().say('{"type":2,"invocationId":"0","item":1}\x1e{"type":2,"invocationId":"0","item":2}\x1e{"type":3,"invocationId":"0"}\x1e');
  /** @type {unknown[]} */
  const got = [];
  for await (const v of stream) got.push(v);
  assert.deepEqual(got, [1, 2]);
});

test("a stream that fails throws behind its items, one that is left is cancelled", async () => {
  const { client } = await connected();
  const failing = client.stream("Count", 2);
  socket().say('{"type":2,"invocationId":"0","item":1}\x1e{"type":3,"invocationId":"0","error":"dry"}\x1e');
  assert.deepEqual(await failing.next(), { done: false, value: 1 });
  await assert.rejects(failing.next(), /dry/);

  const left = client.stream("Count", 9);
  const next = left.next();
  await left.return?.();
  assert.deepEqual(await next, { done: true, value: undefined });
  assert.deepEqual(socket().heard().at(-1), { type: 5, invocationId: "1" });
});

test("an async iterable among the arguments is streamed up", async () => {
  const { client } = await connected();
  const sum = client.invoke("Add", "a", (async function* () { yield 1; yield 2; })(), "b");
  await settle();
  assert.deepEqual(socket().heard(), [
    { type: 1, invocationId: "0", target: "Add", arguments: ["a", "b"], streamIds: ["1"] },
    { type: 2, invocationId: "1", item: 1 },
    { type: 2, invocationId: "1", item: 2 },
    { type: 3, invocationId: "1" },
  ]);
  socket().say('{"type":3,"invocationId":"0","result":3}\x1e');
  assert.equal(await sum, 3);
});

test("an upload that fails says so, one that nobody wants any more ends", async () => {
  const { client } = await connected();
  void client.invoke("Add", (async function* () { yield 1; throw new Error("empty"); })()).catch(() => {});
  await settle();
  assert.deepEqual(socket().heard().at(-1), { type: 3, invocationId: "1", error: "empty" });

  let ended = false;
  let more = (/** @type {number} */ _) => {};
  const items = (async function* () {
    try { for (;;) yield await new Promise((resolve) => (more = resolve)); } finally { ended = true; }
  })();
  const sum = client.invoke("Add", items);
  await settle();
  socket().say('{"type":3,"invocationId":"2","result":0}\x1e');
  await sum;
  more(1);
  await settle();
  assert.ok(ended);
  assert.equal(socket().heard().at(-1).type, 1);
});

test("an upload waits while the browser has much to send", async () => {
  const { client } = await connected();
  socket().bufferedAmount = 1 << 20;
  void client.invoke("Add", (async function* () { yield 1; })()).catch(() => {});
  await settle();
  assert.equal(socket().heard().length, 1);
  socket().bufferedAmount = 0;
  await pass(5);
  assert.equal(socket().heard().length, 3);
});

test("the hub's questions are answered", async () => {
  const { client } = await connected();
  client.on("Pick", async (/** @type {string[]} */ of) => of[1]);
  client.on("Fail", () => { throw new Error("cannot"); });
  socket().say('{"type":1,"invocationId":"s1","target":"Pick","arguments":[["a","b"]]}\x1e{"type":1,"invocationId":"s2","target":"Fail","arguments":[]}\x1e{"type":1,"invocationId":"s3","target":"None","arguments":[]}\x1e');
  await settle();
  const byId = Object.fromEntries(socket().heard().map((m) => [m.invocationId, m.error ?? m.result]));
  assert.deepEqual(byId, { s1: "b", s2: "cannot", s3: "Client didn't provide a result." });
});

test("a lost connection fails what is under way and comes back", async () => {
  const { client, states } = await connected();
  const lost = assert.rejects(client.invoke("Slow"), /the connection ended/);
  const stream = client.stream("Count").next();
  socket().lose();
  await lost;
  await assert.rejects(stream, /the connection ended/);
  await settle();
  assert.equal(client.state.name, "waiting");
  assert.match(String(client.state.error), /1006/);
  await assert.rejects(client.invoke("Now"), /not connected/);
  client.send("Now"); // not lost in a queue, not an error

  await pass(999);
  assert.equal(FakeSocket.all.length, 1);
  await pass(1);
  socket().open();
  await settle();
  socket().say("{}\x1e");
  assert.deepEqual(states, ["connecting", "connected", "waiting", "connecting", "connected"]);
  assert.equal(FakeSocket.all.length, 2);
});

test("a cut says nothing to the hub, and the next attempt can be had at once", async () => {
  const { client, states } = await connected();
  client.cut();
  await settle();
  assert.deepEqual(socket().heard(), []);
  assert.equal(socket().readyState, 3);
  client.retryNow();
  await settle();
  assert.equal(FakeSocket.all.length, 2);
  assert.equal(states.at(-1), "connecting");
});

test("attempts back off until one lasts", async () => {
  /** @type {number[]} */
  const asked = [];
  await connected({ delay: (attempt) => (asked.push(attempt), 10) });
  for (let i = 0; i < 3; i++) {
    socket().lose();
    await settle();
    await pass(10);
  }
  socket().open();
  await settle();
  socket().say("{}\x1e");
  await pass(5_001);
  socket().lose();
  await settle();
  assert.deepEqual(asked, [0, 1, 2, 0]);
});

test("Close decides whether the client comes back", async () => {
  const stay = await connected();
  socket().say('{"type":7,"error":"full"}\x1e');
  await settle();
  assert.equal(stay.client.state.name, "stopped");
  assert.match(String(stay.client.state.error), /full/);

  const back = await connected();
  socket().say('{"type":7,"allowReconnect":true}\x1e');
  await settle();
  assert.equal(back.client.state.name, "waiting");
  await back.client.stop();
  assert.equal(back.client.state.name, "stopped");
});

test("stop says goodbye; another protocol means another connection", async () => {
  const { client, states } = await connected();
  const used = client.use(messagepack);
  await settle();
  assert.deepEqual(FakeSocket.all[0]?.heard(), [{ type: 7 }]);
  await used;
  await settle();
  socket().open();
  await settle();
  assert.equal(socket().sent[0], '{"protocol":"messagepack","version":1}\x1e');
  socket().say(new TextEncoder().encode("{}\x1e"));
  const echo = client.invoke("Echo", "x");
  assert.deepEqual(socket().heard(messagepack), [{ type: 1, invocationId: "0", target: "Echo", arguments: ["x"] }]);
  socket().say(/** @type {Uint8Array} */ (messagepack.encode({ type: 3, invocationId: "0", result: "x" }).raw));
  assert.equal(await echo, "x");
  assert.deepEqual(states, ["connecting", "connected", "stopped", "connecting", "connected"]);
});

test("a silent hub is given up, a client in the background still pings", async () => {
  const { client } = await connected();
  for (let i = 0; i < 6; i++) await pass(5_000);
  assert.equal(socket().sent.filter((d) => d === '{"type":6}\x1e').length, 3);
  await pass(5_000);
  assert.equal(client.state.name, "waiting");

  await pass(1_000);
  socket().open();
  await settle();
  socket().say("{}\x1e");
  clock += 15_000; // no timer ran: the tab is hidden
  socket().say('{"type":6}\x1e');
  assert.equal(socket().sent.filter((d) => d === '{"type":6}\x1e').length, 2);
});

test("refusals of negotiate and of the handshake are told, and tried again", async () => {
  for (const [answer, want] of [[{ error: "too old" }, /too old/], [{ availableTransports: [] }, /no WebSockets/]]) {
    negotiated = answer;
    const client = new HubClient("http://127.0.0.1:1/hub", { delay: () => 1e9 });
    client.start();
    await settle();
    assert.match(String(client.state.error), /** @type {RegExp} */ (want));
    await client.stop();
  }
  negotiated = { connectionToken: "t", availableTransports: [{ transport: "WebSockets" }] };
  const client = new HubClient("http://127.0.0.1:1/hub", { delay: () => 1e9 });
  client.start();
  await settle();
  socket().open();
  await settle();
  socket().say('{"error":"The protocol \'json\' is not supported."}\x1e');
  await settle();
  assert.match(String(client.state.error), /not supported/);
  await client.stop();
});

test("garbage from the hub ends the connection, not the client", async () => {
  const { client } = await connected();
  socket().say("{]\x1e");
  await settle();
  assert.equal(client.state.name, "waiting");
});
