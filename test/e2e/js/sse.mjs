// Scenarios of an EventSource, the browser's own or npm's, with the hub over
// Server-Sent Events and with plain streams.
import { scenario, within, equal, Queue } from "./kit.mjs";

const CLOSED = 2;

/** An EventSource and what it has heard. */
class Source {
  constructor(t, path, names = []) {
    this.t = t;
    this.heard = new Queue(); // [type, data] of each event
    this.errors = new Queue(); // readyState at each error
    this.es = new t.env.EventSource(t.env.hub + path);
    for (const name of ["hubwire:open", "message", ...names]) {
      this.es.addEventListener(name, (e) => this.heard.put([e.type, e.data]));
    }
    this.es.addEventListener("error", () => this.errors.put(this.es.readyState));
  }

  /** What the stream of a connection begins with. */
  async open() {
    const [type, data] = await this.heard.take();
    equal(type, "hubwire:open", "the first event");
    Object.assign(this, JSON.parse(data));
    return this;
  }

  /** Invokes a method of this connection. */
  invoke(name, ...args) {
    return invoke(this.t, name, args, { "Hubwire-Connection": this.token });
  }

  /** Waits until the EventSource has given up. */
  async closed() {
    for (;;) if ((await this.errors.take()) === CLOSED) return;
  }
}

async function invoke(t, name, args, headers = {}, path = "/conformance/sse/") {
  const r = await fetch(t.env.hub + path + encodeURIComponent(name), {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(args),
  });
  const text = await r.text();
  return { status: r.status, body: text === "" ? undefined : JSON.parse(text) };
}

function sse(name, run) {
  scenario("sse." + name, async (t) => {
    const open = [];
    try {
      await run(t, (path, ...names) => {
        const s = new Source(t, path, names);
        open.push(s);
        return s;
      });
    } finally {
      for (const s of open) s.es.close();
    }
  });
}

const stream = (method, ...args) => `/conformance/sse/${method}?args=${encodeURIComponent(JSON.stringify(args))}`;

sse("events", async (t, source) => {
  const s = await source("/conformance/sse?user=ann", "Receive", "Many").open();
  const text = "a\r\nb \u2028 é 😀 data: x";
  equal(await s.invoke("ToCaller", text).then((r) => r.status), 404, "another user's token"); // fetch has no user=ann
  await invoke(t, "ToUser", ["ann", text]);
  equal(await s.heard.take(), ["Receive", JSON.stringify([text]).replace("\u2028", "\\u2028")], "an event");
  const other = await source("/conformance/sse", "Receive", "Many").open();
  equal(await other.invoke("ToCallerArgs").then((r) => r.status), 204, "a call");
  equal(JSON.parse((await other.heard.take())[1]), ["a", 1, true, null, { name: "Ada", age: 36, tags: ["x", "y"], nick: null }], "several arguments");
});

sse("calls", async (t, source) => {
  const s = await source("/conformance/sse", "Receive").open();
  equal(await s.invoke("ConnectionId"), { status: 200, body: s.connection }, "the connection's own id");
  equal(await s.invoke("Join3", "a", 1, true), { status: 200, body: "a|1|True" }, "a result");
  equal(await s.invoke("FailHub", "no"), { status: 500, body: { code: "unknown", message: "no" } }, "an error");
  equal(await s.invoke("Fail", "secret"), { status: 500, body: { code: "unknown", message: "Fail failed." } }, "another");
  equal((await s.invoke("Nope")).status, 404, "no such method");
  equal((await s.invoke("Sum")).status, 501, "an upload");
  equal(await s.invoke("Item", "k", "v").then(() => s.invoke("GetItem", "k")), { status: 200, body: "v" }, "values of the connection");
  equal(await invoke(t, "GetItem", ["k"]), { status: 200, body: null }, "a call without a connection");
});

sse("groups", async (t, source) => {
  const [a, b] = await Promise.all([source("/conformance/sse?group=g1&group=g2", "Receive").open(), source("/conformance/sse", "Receive").open()]);
  await b.invoke("AddTo", "g2");
  await invoke(t, "ToGroup", ["g1", "one"]);
  await b.invoke("ToGroup", "g2", "two");
  await b.invoke("ToOthers", "others");
  equal([await a.heard.take(), await a.heard.take(), await a.heard.take()], [["Receive", '["one"]'], ["Receive", '["two"]'], ["Receive", '["others"]']], "the first");
  equal(await b.heard.take(), ["Receive", '["two"]'], "the second");
});

sse("beside signalr", async (t, source) => {
  const s = await source("/conformance/sse?group=both&user=eve", "Receive").open();
  const c = await t.open({ query: { user: "eve" } });
  await c.hub.invoke("AddTo", "both");
  await c.hub.invoke("ToGroup", "both", "group");
  await c.hub.invoke("ToUser", "eve", "user");
  equal([await s.heard.take(), await s.heard.take()], [["Receive", '["group"]'], ["Receive", '["user"]']], "the stream");
  equal([await c.heard.take(), await c.heard.take()], ["group", "user"], "the SignalR client");
});

sse("a stream ends", async (t, source) => {
  const s = source(stream("Count", 3), "end", "fail");
  for (const want of [["message", "0"], ["message", "1"], ["message", "2"], ["end", "null"]]) equal(await s.heard.take(), want, "an event");
  await s.closed(); // it comes back once, and is told to stop
  equal(s.heard.all(), [], "events after the end");
});

sse("a stream fails", async (t, source) => {
  const s = source(stream("CountThenFailHub", 1), "end", "fail");
  equal(await s.heard.take(), ["message", "0"], "an item");
  equal(await s.heard.take(), ["fail", '{"code":"unknown","message":"stream failed"}'], "the error");
  await s.closed();
});

sse("a stream is refused", async (t, source) => {
  for (const path of [stream("Nope"), stream("Count", "x"), stream("EchoString", "x"), "/conformance/sse/Count?args=x"]) await source(path).closed();
});

sse("a stream is left", async (t, source) => {
  const before = (await invoke(t, "Cancelled", [])).body;
  const s = source(stream("Forever"));
  await s.heard.take();
  s.es.close();
  await within(10000, (async () => {
    while ((await invoke(t, "Cancelled", [])).body === before) await new Promise((r) => setTimeout(r, 20));
  })(), "the end of the stream at the hub");
});

sse("closed for good", async (t, source) => {
  const s = await source("/conformance/sse").open();
  await s.invoke("Abort");
  await s.closed();
});

sse("refused", async (t, source) => {
  await source("/conformance/sse?refuse=1").closed();
  await source("/authorized/sse").closed();
});

sse("restart", async (t, source) => {
  const s = await source("/conformance/sse", "Receive").open();
  const first = s.token;
  await t.harness("/restart");
  await within(20000, s.open(), "another connection");
  if (s.token === first) throw new Error("the token is the same");
  await s.invoke("ToCaller", "back");
  equal(await s.heard.take(), ["Receive", '["back"]'], "an event");
});

sse("resumes", async (t, source) => {
  // A stream of two events and an end, again and again: Last-Event-ID goes on.
  const s = source("/pace/ticks/2/30", "tick");
  for (let i = 0; i < 6; i++) equal(await s.heard.take(), ["tick", "tick " + i], "a tick");
});
