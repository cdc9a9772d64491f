// The kit of the client scenarios: what a scenario is, how it talks to the hub
// and how it says what went wrong. It runs under Node and in a browser alike and
// uses nothing but the official packages that the runner hands it.

const scenarios = [];

/**
 * Declares a scenario. Names are `topic.case`; `only: "json"` binds it to one
 * protocol, `on: ["WebSockets"]` to some transports.
 */
export function scenario(name, run, { only, on } = {}) {
  if (scenarios.some((s) => s.name === name)) throw new Error(`scenario ${name} is declared twice`);
  scenarios.push({ name, run, only, on });
}

/**
 * Runs the scenarios one after the other and calls `report` with the outcome of each.
 * env: { signalR, protocol: "json"|"msgpack", transport, hub, harness, only, limit }
 *   transport  "WebSockets"|"ServerSentEvents"|"LongPolling"
 *   hub      base address of the hub's server as the client shall see it
 *   harness  base address of the harness: POST /cut, /down, /up, /restart
 *   only     a regular expression on names, or empty
 */
export async function runAll(env, report) {
  for (const s of scenarios) {
    if (env.only && !new RegExp(env.only).test(s.name)) continue;
    if (s.only && s.only !== env.protocol) continue;
    if (s.on && !s.on.includes(env.transport)) continue;
    const t = new Stage(env);
    const began = Date.now();
    let error = "";
    try {
      await within(env.limit ?? 30000, Promise.resolve(s.run(t)), `scenario ${s.name}`);
    } catch (e) {
      error = explain(e, t);
    }
    await t.clear();
    await report({ name: s.name, ok: error === "", ms: Date.now() - began, error });
  }
}

function explain(e, t) {
  const lines = [e instanceof Mismatch ? e.message : String(e?.stack ?? e)];
  if (t.log.length > 0) lines.push("the client's last log lines:", ...t.log.slice(-15).map((l) => "  " + l));
  return lines.join("\n");
}

/** What one scenario works with: its connections, and their end. */
export class Stage {
  constructor(env) {
    this.env = env;
    this.json = env.protocol === "json";
    this.transport = env.transport;
    this.log = [];
    this.clients = [];
  }

  /**
   * Builds a client, not yet started.
   *   path, query           the endpoint
   *   skipNegotiation       WebSockets at once
   *   any                   any transport that works
   *   reconnect             an array of delays, or a policy
   *   stateful              stateful reconnect
   *   cut                   the way leads through the harness, which can cut it
   *   serverTimeout, ping   the client's timers in milliseconds
   *   on                    handlers by method
   */
  build({ path = "/conformance", query = {}, skipNegotiation, any, reconnect, stateful, cut, serverTimeout, ping, on = {}, name = "c" } = {}) {
    const { signalR, protocol } = this.env;
    const hub = cut ? this.env.harness : this.env.hub;
    const search = new URLSearchParams(query).toString();
    const builder = new signalR.HubConnectionBuilder()
      .withUrl(hub + path + (search && "?" + search), {
        transport: any ? undefined : signalR.HttpTransportType[this.transport],
        ...this.env.options,
        skipNegotiation: !!skipNegotiation,
      })
      .configureLogging({ log: (level, text) => level > 1 && this.log.push(`${name}: ${text}`) });
    if (protocol === "msgpack") builder.withHubProtocol(new signalR.protocols.msgpack.MessagePackHubProtocol());
    if (reconnect) builder.withAutomaticReconnect(reconnect);
    if (stateful) builder.withStatefulReconnect();
    if (serverTimeout) builder.withServerTimeout(serverTimeout);
    if (ping) builder.withKeepAliveInterval(ping);
    const c = new Client(builder.build());
    for (const [method, handler] of Object.entries(on)) c.hub.on(method, handler);
    this.clients.push(c);
    return c;
  }

  /** Builds and starts a client. */
  async open(options) {
    const c = this.build(options);
    await within(15000, c.hub.start(), "start of a connection");
    return c;
  }

  /** Asks the harness to do something to the network or the server. */
  async harness(what) {
    const r = await fetch(this.env.harness + what, { method: "POST" });
    if (!r.ok) throw new Error(`harness ${what}: ${r.status} ${await r.text()}`);
  }

  /** Stops all connections of the scenario. */
  async clear() {
    await Promise.allSettled(this.clients.map((c) => within(5000, c.hub.stop(), "stop")));
  }
}

/** A connection and what it has heard. */
export class Client {
  constructor(hub) {
    this.hub = hub;
    this.heard = new Queue(); // arguments of each Receive
    this.events = new Queue(); // what became of the connection: ["reconnecting", text], …
    hub.on("Receive", (...args) => this.heard.put(args.length === 1 ? args[0] : args));
    hub.onreconnecting((e) => this.events.put(["reconnecting", e?.message]));
    hub.onreconnected((id) => this.events.put(["reconnected", id]));
    hub.onclose((e) => this.events.put(["closed", e?.message]));
  }

  invoke(...args) {
    return this.hub.invoke(...args);
  }

  /** Collects a stream: its items, and `error`, the text it failed with or null. */
  collect(...args) {
    return gather(this.hub.stream(...args));
  }

  /** The connection's own id as the hub sees it. */
  id() {
    return this.invoke("ConnectionId");
  }

  /**
   * Everything heard up to now: the hub keeps the order on one connection, so
   * what it sent earlier is here once it has answered this call.
   */
  async settled() {
    await this.invoke("EchoString", "fence");
    return this.heard.all();
  }

  /** Waits for the end of the connection and gives the text of its error. */
  async closed(ms = 10000) {
    for (;;) {
      const [what, text] = await this.events.take(ms, "the connection's end");
      if (what === "closed") return text;
    }
  }
}

export function gather(stream) {
  return new Promise((resolve) => {
    const items = [];
    stream.subscribe({
      next: (item) => items.push(item),
      error: (e) => resolve({ items, error: e.message }),
      complete: () => resolve({ items, error: null }),
    });
  });
}

/** A queue that can be waited for. */
export class Queue {
  #items = [];
  #waiting = [];

  put(item) {
    const next = this.#waiting.shift();
    if (next) next(item);
    else this.#items.push(item);
  }

  /** The next item, waited for at most ms milliseconds. */
  take(ms = 10000, what = "a message") {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    const waits = new Promise((resolve) => this.#waiting.push(resolve));
    return within(ms, waits, what);
  }

  async takeMany(n, ms) {
    const out = [];
    while (out.length < n) out.push(await this.take(ms, `message ${out.length + 1} of ${n}`));
    return out;
  }

  /** What is there now. */
  all() {
    return this.#items.splice(0);
  }
}

/** A promise and its settling, for handlers that have to be waited for. */
export function signal() {
  const s = {};
  s.promise = new Promise((resolve, reject) => Object.assign(s, { resolve, reject }));
  return s;
}

/** Bounds a wait; the error names what was waited for. */
export function within(ms, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Mismatch(`${what}: nothing within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks until the answer is as wanted: for counters that move on their own. */
export async function eventually(ask, want, what, ms = 10000) {
  const end = Date.now() + ms;
  for (;;) {
    const got = await ask();
    if (same(got, want)) return;
    if (Date.now() > end) throw new Mismatch(`${what}: got ${show(got)}, want ${show(want)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A failed expectation: its message says all, its stack nothing. */
export class Mismatch extends Error {}

export function equal(got, want, what) {
  if (!same(got, want)) throw new Mismatch(`${what}\n  got  ${show(got)}\n  want ${show(want)}`);
}

export function truly(cond, what) {
  if (!cond) throw new Mismatch(what);
}

/** Expects the promise to fail and gives the text of its error. */
export async function fails(promise, what) {
  let value;
  try {
    value = await promise;
  } catch (e) {
    return e.message;
  }
  throw new Mismatch(`${what}: an error was expected, the result was ${show(value)}`);
}

function same(a, b) {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (ArrayBuffer.isView(a) && ArrayBuffer.isView(b)) return a.length === b.length && a.every((x, i) => x === b[i]);
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  if (a instanceof Date && b instanceof Date) return a.getTime() === b.getTime();
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((k) => Object.hasOwn(b, k) && same(a[k], b[k]));
}

function show(v) {
  const text = JSON.stringify(v, (_, x) =>
    ArrayBuffer.isView(x) ? `bytes(${x.length}) ${[...x.slice(0, 16)]}`
    : typeof x === "number" && (!Number.isFinite(x) || Object.is(x, -0)) ? `${Object.is(x, -0) ? "-0" : x}`
    : x === undefined ? "undefined" : x);
  return text === undefined ? String(v) : text.length > 600 ? `${text.slice(0, 600)}… (${text.length} characters)` : text;
}
