// A small SignalR client: negotiate, WebSocket, handshake, calls, streams both
// ways, questions of the hub, automatic reconnect. It shows every frame that
// passes to whoever asked for it.

import { dial } from "./dial.js";
import { handshakeRequest, handshakeResponse, json } from "./protocol.js";

/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {import("./protocol.js").Protocol} Protocol */

/**
 * Something that passed, as the inspector sees it.
 *
 * @typedef {object} Frame
 * @property {"in" | "out" | "note"} dir note: not a frame but an event of the connection
 * @property {number} at milliseconds since 1970
 * @property {number} size in bytes, framing of the protocol included
 * @property {string} [note] what happened, for a note; "handshake" for the two handshake messages
 * @property {Message | undefined} [message]
 * @property {string | Uint8Array<ArrayBuffer>} [raw]
 * @property {number} [place] its place in a WebSocket message that holds several, from 1
 * @property {number} [places] how many messages that WebSocket message holds
 */

/**
 * waiting: the connection is lost, the next attempt comes at until.
 * stopped: by stop, or because the hub said not to come back.
 *
 * @typedef {object} State
 * @property {"connecting" | "connected" | "waiting" | "stopped"} name
 * @property {number} attempt attempts since the connection was lost, from 0
 * @property {number} [until] milliseconds since 1970
 * @property {Error} [error] why it was lost
 */

/**
 * A call under way.
 * @typedef {{ item: (v: unknown) => void, done: (err: Error | undefined, result?: unknown) => void, over: boolean }} Call
 */

/**
 * @typedef {object} Options
 * @property {Protocol} [protocol] Defaults to JSON.
 * @property {(f: Frame) => void} [onFrame]
 * @property {(s: State) => void} [onState]
 * @property {(attempt: number) => number} [delay] milliseconds before an attempt to come back, which counts from 0
 */

const pingEvery = 15_000;
const silenceAllowed = 30_000;
const handshakeTimeout = 15_000;
/** A connection that lasted this long starts the back-off anew. */
const steady = 5_000;
/** Bytes that an upload lets pile up in the browser before it waits. */
const uploadAhead = 64 << 10;

/**
 * Doubles from one second to sixteen, plus or minus a quarter, so that many
 * clients do not come back at the same moment.
 * @param {number} attempt
 */
function backOff(attempt) {
  return Math.min(16_000, 1_000 * 2 ** attempt) * (0.75 + Math.random() / 2);
}

/**
 * A connection to a hub that comes back by itself. Calls under way fail when
 * the connection is lost; groups and streams are the caller's to restore when
 * onState says connected.
 */
export class HubClient {
  #url;
  #protocol;
  #onFrame;
  #onState;
  #delay;

  /** @type {State} */
  #state = { name: "stopped", attempt: 0 };
  /** @type {WebSocket | undefined} set while connected */
  #socket;
  /** Ends the connection under way, or the attempt. @type {((err?: Error, final?: boolean) => void) | undefined} */
  #end;
  /** Ends the wait before an attempt. @type {(() => void) | undefined} */
  #wake;
  /** Set by start: several runs never overlap. @type {Promise<void> | undefined} */
  #running;
  #wanted = false;

  #nextId = 0;
  /** @type {Map<string, Call>} */
  #calls = new Map();
  /** @type {Map<string, (...args: any[]) => unknown>} */
  #handlers = new Map();
  #lastIn = 0;
  #lastPing = 0;

  /**
   * @param {string | URL} url of the hub, http or https
   * @param {Options} [options]
   */
  constructor(url, options = {}) {
    this.#url = new URL(url);
    this.#protocol = options.protocol ?? json;
    this.#onFrame = options.onFrame ?? (() => {});
    this.#onState = options.onState ?? (() => {});
    this.#delay = options.delay ?? backOff;
  }

  get state() {
    return this.#state;
  }

  get protocol() {
    return this.#protocol;
  }

  /**
   * What to do when the hub calls target, whose case does not matter. Where the
   * hub asks, what fn returns (or resolves with) is the answer.
   * @param {string} target @param {(...args: any[]) => unknown} fn
   */
  on(target, fn) {
    this.#handlers.set(target.toLowerCase(), fn);
  }

  /** Connects, and stays connected until stop. */
  start() {
    this.#wanted = true;
    this.#wake?.();
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#wanted) this.start();
    });
  }

  /** Tells the hub goodbye and stays away. */
  async stop() {
    this.#wanted = false;
    if (this.#socket) this.#write({ type: 7 });
    this.#end?.();
    this.#wake?.();
    await this.#running;
  }

  /** Ends the wait before the next attempt. */
  retryNow() {
    this.#wake?.();
  }

  /** Drops the connection as a broken network would: without a word. */
  cut() {
    this.#end?.(new Error("the connection was cut"));
  }

  /**
   * Changes the protocol, and reconnects for it.
   * @param {Protocol} protocol
   */
  async use(protocol) {
    if (protocol === this.#protocol) return;
    const again = this.#wanted;
    await this.stop();
    this.#protocol = protocol;
    if (again) this.start();
  }

  /**
   * Calls target and waits for its result. An argument that is an async
   * iterable is streamed up.
   * @param {string} target @param {...unknown} args
   * @returns {Promise<any>}
   */
  invoke(target, ...args) {
    return new Promise((resolve, reject) => {
      this.#call(1, target, args, {
        over: false,
        item: () => {},
        done: (err, result) => (err ? reject(err) : resolve(result)),
      });
    });
  }

  /**
   * Calls target and wants no answer. While there is no connection, nothing is
   * sent.
   * @param {string} target @param {...unknown} args
   */
  send(target, ...args) {
    if (this.#socket) this.#write({ type: 1, target, arguments: args });
  }

  /**
   * Calls target at once and ranges over its items. Leaving the loop cancels.
   * @param {string} target @param {...unknown} args
   * @returns {AsyncIterableIterator<any>}
   */
  stream(target, ...args) {
    /** @type {unknown[]} */
    const items = [];
    let over = false;
    /** @type {Error | undefined} */
    let failed;
    let wake = () => {};
    const id = this.#call(4, target, args, {
      over: false,
      item: (v) => (items.push(v), wake()),
      done: (err) => ((over = true), (failed = err), wake()),
    });
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      next: async () => {
        while (items.length === 0 && !over) await new Promise((resolve) => (wake = () => resolve(undefined)));
        if (items.length > 0) return { done: false, value: items.shift() };
        if (failed) throw failed;
        return { done: true, value: undefined };
      },
      return: async () => {
        if (!over && this.#calls.has(id)) {
          this.#calls.delete(id);
          this.#write({ type: 5, invocationId: id });
        }
        over = true;
        items.length = 0;
        wake();
        return { done: true, value: undefined };
      },
    };
  }

  /**
   * @param {1 | 4} type @param {string} target @param {unknown[]} args @param {Call} call
   */
  #call(type, target, args, call) {
    const invocationId = String(this.#nextId++);
    const socket = this.#socket;
    if (!socket) {
      call.over = true;
      call.done(new Error(`${target}: not connected`));
      return invocationId;
    }
    /** @type {{ id: string, items: AsyncIterable<unknown> }[]} */
    const uploads = [];
    const plain = args.filter((a) => {
      if (typeof a !== "object" || a === null || !(Symbol.asyncIterator in a)) return true;
      uploads.push({ id: String(this.#nextId++), items: /** @type {AsyncIterable<unknown>} */ (a) });
      return false;
    });
    this.#calls.set(invocationId, call);
    this.#write({ type, invocationId, target, arguments: plain, ...(uploads.length ? { streamIds: uploads.map((u) => u.id) } : {}) });
    for (const u of uploads) void this.#upload(socket, call, u.id, u.items);
    return invocationId;
  }

  /**
   * Sends items until they end, or nobody wants more of them.
   * @param {WebSocket} socket @param {Call} call @param {string} id @param {AsyncIterable<unknown>} items
   */
  async #upload(socket, call, id, items) {
    const wanted = () => !call.over && this.#socket === socket;
    try {
      for await (const item of items) {
        while (wanted() && socket.bufferedAmount > uploadAhead) await sleep(5);
        if (!wanted()) return;
        this.#write({ type: 2, invocationId: id, item });
      }
      if (wanted()) this.#write({ type: 3, invocationId: id });
    } catch (err) {
      if (wanted()) this.#write({ type: 3, invocationId: id, error: asError(err).message });
    }
  }

  /** @param {Message} m */
  #write(m) {
    const framed = this.#protocol.encode(m);
    this.#socket?.send(framed.raw);
    this.#onFrame({ dir: "out", at: now(), ...framed });
  }

  /** @param {State} s */
  #become(s) {
    this.#state = s;
    this.#onState(s);
  }

  /** Connects again and again until stop, or until the hub ends it. */
  async #run() {
    for (let attempt = 0; this.#wanted; ) {
      this.#become({ name: "connecting", attempt });
      const begun = now();
      const { error, final } = await this.#connection(attempt);
      if (final || !this.#wanted) {
        this.#wanted = false;
        this.#become({ name: "stopped", attempt, error });
        return;
      }
      if (now() - begun > steady) attempt = 0;
      const ms = this.#delay(attempt++);
      this.#become({ name: "waiting", attempt, until: now() + ms, error });
      await Promise.race([sleep(ms), new Promise((resolve) => (this.#wake = () => resolve(undefined)))]);
      this.#wake = undefined;
    }
    this.#become({ name: "stopped", attempt: 0 });
  }

  /**
   * One connection from negotiate to its end. It never rejects.
   * @param {number} attempt
   * @returns {Promise<{ error?: Error, final: boolean }>} final: the hub does not want us back
   */
  async #connection(attempt) {
    const abort = new AbortController();
    /** @type {WebSocket | undefined} */
    let socket;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    let ticker;
    try {
      return await new Promise((resolve, reject) => {
        this.#end = (error, final = false) => resolve({ error, final });
        const open = async () => {
          socket = await dial(this.#url, abort.signal, (note, raw) => this.#note(note, raw));
          if (abort.signal.aborted) return socket.close();
          let shaken = false;
          const late = setTimeout(() => reject(new Error("the hub does not answer the handshake")), handshakeTimeout);
          abort.signal.addEventListener("abort", () => clearTimeout(late));
          socket.onclose = (e) => {
            this.#note(`WebSocket closed: ${e.code}${e.reason ? ` ${e.reason}` : ""}`);
            resolve({ error: e.code === 1000 ? undefined : new Error(`the connection was lost (${e.code})`), final: false });
          };
          socket.onmessage = (e) => {
            this.#lastIn = now();
            try {
              let data = typeof e.data === "string" ? e.data : new Uint8Array(/** @type {ArrayBuffer} */ (e.data));
              if (!shaken) {
                const { raw, rest } = handshakeResponse(data);
                shaken = true;
                clearTimeout(late);
                this.#onFrame({ dir: "in", at: this.#lastIn, size: raw.length + 1, note: "handshake", raw });
                this.#socket = socket;
                this.#lastPing = 0; // a first ping arms the hub's clock
                ticker = setInterval(() => this.#tick(), 5_000);
                this.#ping();
                this.#become({ name: "connected", attempt });
                data = rest;
              }
              if (data.length > 0) this.#read(data);
              else if (this.#socket) this.#ping();
            } catch (err) {
              reject(err);
            }
          };
          const hello = handshakeRequest(this.#protocol);
          socket.send(hello);
          this.#onFrame({ dir: "out", at: now(), size: hello.length, note: "handshake", raw: hello });
        };
        open().catch(reject);
      });
    } catch (err) {
      return { error: asError(err), final: false };
    } finally {
      abort.abort();
      clearInterval(ticker);
      this.#end = undefined;
      this.#socket = undefined;
      if (socket) {
        if (socket.onclose && socket.readyState <= WebSocket.OPEN) this.#note("WebSocket dropped");
        socket.onclose = socket.onmessage = null;
        socket.close();
      }
      const pending = [...this.#calls.values()];
      this.#calls.clear();
      for (const call of pending) {
        call.over = true;
        call.done(new Error("the connection ended"));
      }
    }
  }

  /** @param {string} note @param {string} [raw] */
  #note(note, raw) {
    this.#onFrame({ dir: "note", at: now(), size: raw?.length ?? 0, note, raw });
  }

  #ping() {
    if (now() - this.#lastPing < pingEvery) return;
    this.#lastPing = now();
    this.#write({ type: 6 });
  }

  /** Messages call #ping too: timers sleep in a tab that nobody sees, they do not. */
  #tick() {
    this.#ping();
    if (now() - this.#lastIn > silenceAllowed) this.#end?.(new Error("the hub has been silent for 30 s"));
  }

  /** @param {string | Uint8Array<ArrayBuffer>} data */
  #read(data) {
    const frames = this.#protocol.decode(data);
    frames.forEach((f, i) => {
      this.#onFrame({ dir: "in", at: this.#lastIn, ...f, place: i + 1, places: frames.length });
      if (f.message) this.#receive(f.message);
    });
    if (this.#socket) this.#ping();
  }

  /** @param {Message} m */
  #receive(m) {
    switch (m.type) {
      case 1: {
        const { invocationId } = m;
        const answer = this.#handle(m.target, m.arguments);
        if (invocationId !== undefined) void this.#answer(invocationId, answer);
        else answer.catch((err) => console.error(`hub client: ${m.target}:`, err));
        return;
      }
      case 2:
        this.#calls.get(m.invocationId)?.item(m.item);
        return;
      case 3: {
        const call = this.#calls.get(m.invocationId);
        this.#calls.delete(m.invocationId);
        if (!call) return;
        call.over = true;
        call.done(m.error === undefined ? undefined : new Error(m.error), m.result);
        return;
      }
      case 7:
        this.#end?.(m.error ? new Error(m.error) : undefined, !m.allowReconnect);
    }
  }

  /**
   * Calls the handler before it returns, so that handlers run in the order of
   * the messages.
   * @param {string} target @param {unknown[]} args
   */
  async #handle(target, args) {
    const result = this.#handlers.get(target.toLowerCase())?.(...args);
    return result instanceof Promise ? await result : result;
  }

  /** @param {string} invocationId @param {Promise<unknown>} answer */
  async #answer(invocationId, answer) {
    const socket = this.#socket;
    /** @type {Message} */
    let m;
    try {
      const result = await answer;
      m = result === undefined ? { type: 3, invocationId, error: "Client didn't provide a result." } : { type: 3, invocationId, result };
    } catch (err) {
      m = { type: 3, invocationId, error: asError(err).message };
    }
    if (this.#socket === socket) this.#write(m);
  }
}

function now() {
  return performance.timeOrigin + performance.now();
}

/** @param {number} ms @returns {Promise<void>} */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** @param {unknown} err */
function asError(err) {
  return err instanceof Error ? err : new Error(String(err));
}
