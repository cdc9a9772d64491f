// The client's end of a WebSocket that sends what it is told, right or wrong,
// and notes what comes. It answers pings and close frames, nothing else.
import { Exchange } from "./http.mjs";
import { Waitable, isText, sleep } from "./journal.mjs";
import { split, unpack } from "./msgpack.mjs";

/** Counts hub messages in a flow of bytes: the handshake's answer, then messages of the protocol. */
export class Messages {
  seen = [];
  acks = true; // they count
  #rest = Buffer.alloc(0);

  constructor(protocol, shaken) {
    this.protocol = protocol;
    this.shaken = shaken; // the handshake is over
  }

  feed(bytes) {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (!this.shaken || this.protocol !== "messagepack") {
      const end = this.#rest.indexOf(0x1e);
      if (end < 0) return;
      const text = this.#rest.toString("utf8", 0, end);
      this.#rest = this.#rest.subarray(end + 1);
      this.shaken = true;
      try {
        this.seen.push(JSON.parse(text));
      } catch {
        this.seen.push({ unparsed: text });
      }
    }
    const [messages, rest] = split(this.#rest);
    this.#rest = rest;
    for (const m of messages) {
      try {
        const v = unpack(m);
        this.seen.push(v[0] === 3 ? { type: 3, result: v[4] } : { type: v[0] });
      } catch {
        this.seen.push({ unparsed: m.toString("hex") });
      }
    }
  }

  /** How many there were, without pings, and without Acks where those vary. */
  get count() {
    return this.seen.filter((m) => m?.type !== 6 && (this.acks || m?.type !== 8)).length;
  }

  get pings() {
    return this.seen.filter((m) => m?.type === 6).length;
  }
}

const opcodes = { continuation: 0, text: 1, binary: 2, 0: "continuation", 1: "text", 2: "binary" };
const mask = Buffer.from([1, 2, 3, 4]);

export class Socket extends Waitable {
  open = false; // the upgrade succeeded
  over = false; // nothing more will come
  closed = null; // the server's close frame
  eof = false;
  #buf = Buffer.alloc(0);
  #kind = 1; // of the message that a continuation goes on with
  #sentClose = false;

  constructor(journal, conn, protocol, shaken) {
    super();
    this.journal = journal;
    this.base = conn ? { conn } : {};
    this.messages = new Messages(protocol, shaken);
  }

  /** Sends the request of the upgrade; resolves when it is answered, after 8 s at the latest. */
  async start(req) {
    const x = new Exchange(this.journal, req, { conn: this.base.conn });
    await x.until(() => x.done, 8000);
    if (x.status !== 101) {
      this.over = true;
      return this.wake();
    }
    this.open = true;
    this.socket = x.socket;
    this.socket.removeAllListeners();
    this.socket.on("data", (d) => this.#data(d));
    this.socket.on("end", () => this.#gone());
    this.socket.on("close", () => this.#gone());
    this.socket.on("error", () => this.#gone({ reset: true }));
    this.#data(x.takeRest());
  }

  /** Sends one frame. */
  send(op, payload, { fin = true, masked = true, rsv = 0 } = {}) {
    const n = payload.length;
    const head = Buffer.alloc(n < 126 ? 2 : n < 65536 ? 4 : 10);
    head[0] = (fin ? 0x80 : 0) | rsv | op;
    head[1] = n < 126 ? n : n < 65536 ? 126 : 127;
    if (head.length === 4) head.writeUInt16BE(n, 2);
    if (head.length === 10) head.writeBigUInt64BE(BigInt(n), 2);
    if (masked) head[1] |= 0x80;
    const step = { ...this.base, dir: "send" };
    if (op === 8) {
      this.#sentClose = true;
      step.closed = closeOf(payload);
    } else if (op === 9 || op === 10) step[op === 9 ? "ping" : "pong"] = payload.toString("hex");
    else Object.assign(step, op !== 2 && isText(payload) ? { text: payload.toString() } : { hex: payload.toString("hex") });
    this.journal.add(step);
    if (this.eof) return;
    this.socket.write(masked ? Buffer.concat([head, mask, payload.map((b, i) => b ^ mask[i & 3])]) : Buffer.concat([head, payload]));
  }

  sendClose(code, reason = "") {
    const payload = Buffer.alloc(code === undefined ? 0 : 2 + Buffer.byteLength(reason));
    if (code !== undefined) {
      payload.writeUInt16BE(code);
      payload.write(reason, 2);
    }
    this.send(8, payload);
  }

  /** Ends the TCP connection without a close frame. */
  drop(reset) {
    this.dropped = true;
    this.journal.add({ ...this.base, dir: "send", drop: true });
    if (reset) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  /** Notes whether nothing comes for ms. */
  async silence(ms) {
    const before = this.messages.count;
    await sleep(ms);
    if (this.messages.count === before && !this.over) this.journal.add({ ...this.base, dir: "recv", nothingFor: ms });
  }

  #gone(more) {
    if (this.eof) return;
    this.eof = this.over = true;
    if (!this.dropped) this.journal.add({ ...this.base, dir: "recv", eof: true, ...more });
    this.wake();
  }

  #data(d) {
    this.#buf = Buffer.concat([this.#buf, d]);
    for (;;) {
      const b = this.#buf;
      if (b.length < 2) return;
      let n = b[1] & 127, at = 2;
      if (b.length < (n === 126 ? 4 : n === 127 ? 10 : 2)) return;
      if (n === 126) [n, at] = [b.readUInt16BE(2), 4];
      else if (n === 127) [n, at] = [Number(b.readBigUInt64BE(2)), 10];
      if (b.length < at + n) return;
      this.#buf = b.subarray(at + n);
      this.#frame(b[0], Buffer.from(b.subarray(at, at + n)));
    }
  }

  #frame(first, payload) {
    const op = first & 15, step = { ...this.base, dir: "recv" };
    if (first & 0x70) step.rsv = first & 0x70;
    if (op === 8) {
      this.closed = closeOf(payload);
      this.over = true;
      this.journal.add({ ...step, closed: this.closed });
      return this.wake();
    }
    if (op === 9) {
      this.journal.add({ ...step, ping: payload.toString("hex") });
      return this.send(10, payload);
    }
    if (op === 10) {
      this.journal.add({ ...step, pong: payload.toString("hex") });
      return;
    }
    if (op !== 0) this.#kind = op;
    const text = this.#kind === 1 && isText(payload);
    Object.assign(step, text ? { text: payload.toString() } : { hex: payload.toString("hex") });
    if (op === 0 || (op === 1) !== text) step.opcode = opcodes[op] ?? `op${op}`;
    if (!(first & 0x80)) step.fin = false;
    this.journal.add(step);
    this.messages.feed(payload);
    this.wake();
  }
}

function closeOf(payload) {
  if (payload.length < 2) return { code: null, reason: "", ...(payload.length > 0 && { payload: payload.toString("hex") }) };
  return { code: payload.readUInt16BE(0), reason: payload.toString("utf8", 2) };
}

/** The frame of a recorded step: opcode, payload and what is odd about it. */
export function frameOf(step, payload) {
  const op = step.ping !== undefined ? 9
    : step.pong !== undefined ? 10
    : step.opcode ? opcodes[step.opcode] ?? Number(step.opcode.slice(2))
    : step.hex !== undefined ? 2 : 1;
  return [op, payload, { fin: step.fin !== false, masked: step.masked !== false, rsv: step.rsv ?? 0 }];
}
