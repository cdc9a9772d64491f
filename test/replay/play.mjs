// Plays one recording against a server and gives the recording of that run.
import { createHmac } from "node:crypto";
import { Exchange } from "./http.mjs";
import { Journal, isText, sleep } from "./journal.mjs";
import { returns } from "./recordings.mjs";
import { Messages, Socket, frameOf } from "./socket.mjs";

/** server: { port, child? } */
export function play(recording, server) {
  return new Player(recording, server).play();
}

class Player {
  #swaps = new Map(); // a recorded id → ours
  #sockets = {}; // WebSockets by the name of their connection
  #streams = {}; // responses whose body is a stream, likewise
  #asked = {}; // requests by their id
  #recorded = {}; // the messages recorded so far, by connection

  constructor(recording, server) {
    this.recording = recording;
    this.server = server;
    this.journal = new Journal(server.port);
    this.returns = returns(recording);
    for (const [name, value] of Object.entries(recording.vary)) {
      if (!/^eyJ[\w-]+\.eyJ/.test(value)) continue;
      const own = tokenLike(value, new Date(recording.date));
      this.#swaps.set(value, own);
      this.journal.varies(name, own);
    }
  }

  async play() {
    for (const step of this.recording.steps) {
      if (step.pause && !step.responseTo) await sleep(step.pause);
      if (step.http) await this.#request(step);
      else if (step.responseTo) await this.#answer(step);
      else if (step.note === "the server process gets SIGTERM") this.server.child?.kill("SIGTERM");
      else if (step.abort) (this.#asked[step.id] ?? this.#streams[step.conn])?.abort();
      else if (step.drop) this.#sockets[step.conn]?.drop(/RST/.test(step.note));
      else if (step.dir === "send") await this.#send(step);
      else if (step.dir === "recv") await this.#receive(step);
    }
    await this.journal.end();
    return { ...this.recording, vary: this.journal.vary, steps: this.journal.steps };
  }

  async #answer({ responseTo: id, response }) {
    const x = this.#asked[id];
    await x?.until(() => x.done, 95000);
    await this.#remainder(x, response);
  }

  // How messages share answers to polls is chance: one that brought fewer than
  // were recorded gets those of the next.
  async #remainder(x, recorded) {
    const { transport, protocol } = this.recording;
    if (transport !== "longpolling" || x?.req.method !== "GET" || recorded?.status !== 200) return;
    const all = countIn(protocol, bodyOf(recorded));
    for (let n; x.response?.status === 200 && (n = countIn(protocol, bodyOf(x.response))) > 0 && n < all; ) {
      const next = new Exchange(new Journal(this.server.port), x.req);
      await next.until(() => next.done, 5000);
      if (next.response?.status !== 200) return;
      const joined = Buffer.concat([bodyOf(x.response), bodyOf(next.response)]);
      delete x.response.body;
      Object.assign(x.response, isText(joined) ? { body: joined.toString() } : { bodyHex: joined.toString("hex") });
    }
  }

  // ---- ids: what was recorded is sent as ours

  #swap(text) {
    for (const [theirs, ours] of this.#swaps) text = text.split(theirs).join(ours);
    return text;
  }

  #swapBytes(bytes) {
    let latin = bytes.toString("latin1");
    // In binary only ids of equal length can be exchanged without a new length in front.
    for (const [theirs, ours] of this.#swaps) if (theirs.length === ours.length) latin = latin.split(theirs).join(ours);
    return Buffer.from(latin, "latin1");
  }

  #learn(theirs, ours) {
    this.#swaps.set(theirs, ours);
    for (const [name, value] of Object.entries(this.recording.vary)) if (value === theirs) this.journal.varies(name, ours);
  }

  #learnFromNegotiate(recorded, exchange) {
    try {
      const theirs = JSON.parse(recorded.body), ours = JSON.parse(exchange.body.toString());
      for (const k of ["connectionId", "connectionToken"]) if (theirs[k] && ours[k]) this.#learn(theirs[k], ours[k]);
    } catch {
      // no JSON: there is nothing to learn
    }
  }

  #messages(conn) {
    return (this.#recorded[conn] ??= new Messages(this.recording.protocol, false));
  }

  // ---- the client's steps

  async #request(step) {
    const { conn, id, http, response } = step;
    const headers = Object.fromEntries(Object.entries(http.headers).map(([k, v]) => [k, Array.isArray(v) ? v.map((x) => this.#swap(x)) : this.#swap(v)]));
    const req = { method: http.method, path: this.#swap(http.path), headers, body: http.bodyHex ? Buffer.from(http.bodyHex, "hex") : this.#swap(http.body ?? "") };
    if (http.bodyOnTheWire) req.rawBody = Buffer.from(http.bodyOnTheWire, "latin1");
    if (response?.status === 101) {
      const socket = (this.#sockets[conn] = new Socket(this.journal, conn, this.recording.protocol, this.returns.has(conn)));
      this.#messages(conn).shaken = this.returns.has(conn);
      socket.messages.acks = this.#messages(conn).acks = this.recording.acks !== "vary";
      socket.ready = socket.start(req);
      await Promise.race([socket.ready, sleep(1500)]); // a server may let it wait until an older socket is gone
      return;
    }
    const x = new Exchange(this.journal, req, { conn, id, waits: response !== undefined, stream: !!response?.streaming });
    if (id) this.#asked[id] = x;
    if (response?.streaming) {
      this.#streams[conn] = x;
      await x.until(() => x.status !== undefined || x.done, 8000);
    } else if (response !== undefined) {
      const came = await x.until(() => x.done, response === null ? 2000 : 95000);
      if (!came) x.giveUp();
      else if (/negotiate/.test(http.path)) this.#learnFromNegotiate(response, x);
      else await this.#remainder(x, response);
    }
  }

  async #send(step) {
    const socket = this.#sockets[step.conn];
    if (!(await ready(socket))) return;
    if (step.closed) {
      if (step.closed.payload) socket.send(8, Buffer.from(step.closed.payload, "hex"));
      else socket.sendClose(step.closed.code ?? undefined, step.closed.reason);
      return;
    }
    if (step.pong !== undefined && !/pong/.test(this.recording.name)) return; // pings are answered anyway
    const hex = step.ping ?? step.pong ?? step.hex;
    socket.send(...frameOf(step, hex !== undefined ? this.#swapBytes(Buffer.from(hex, "hex")) : Buffer.from(this.#swap(step.text))));
  }

  // ---- the server's steps: wait for as much as was recorded

  async #receive(step) {
    const { conn } = step, stream = this.#streams[conn], socket = stream ? undefined : this.#sockets[conn];
    await ready(socket);
    const bytes = step.text !== undefined ? Buffer.from(step.text) : step.hex !== undefined ? Buffer.from(step.hex, "hex") : null;
    if (bytes && stream) {
      stream.wanted = (stream.wanted ?? 0) + bytes.length;
      await stream.until(() => stream.done || stream.chunks.reduce((n, c) => n + c.length, 0) >= stream.wanted - 2, 20000);
    } else if (bytes) {
      const theirs = this.#messages(conn);
      theirs.feed(bytes);
      const timing = this.recording.group === "timing";
      const patience = this.recording.group === "stateful" ? 20000 : 6000;
      await socket?.until(() => socket.messages.count >= theirs.count || socket.over, timing ? 40000 : Math.max(patience, (step.ms ?? 0) + 6000 - this.journal.now()));
      if (timing && theirs.seen.at(-1)?.type === 6) await socket?.until(() => socket.messages.pings >= theirs.pings || socket.over, step.ms + 1200 - this.journal.now());
      // An id that only an answer tells.
      const their = theirs.seen.at(-1)?.result, our = socket?.messages.seen[theirs.seen.length - 1]?.result;
      const isId = (v) => typeof v === "string" && Object.values(this.recording.vary).includes(v);
      if (isId(their) && typeof our === "string" && !this.#swaps.has(their)) this.#learn(their, our);
    } else if (step.closed) await socket?.until(() => socket.closed || socket.eof, 40000);
    else if (step.eof) await socket?.until(() => socket.eof, 40000);
    else if (step.end) await stream?.until(() => stream.done, 40000);
    else if (step.nothingFor) await socket?.silence(step.nothingFor);
    else if (/^still open after/.test(step.note ?? "")) {
      const x = socket ?? stream, over = () => (socket ? socket.over : stream?.done);
      await x?.until(over, Number(/(\d+) ms/.exec(step.note)[1]));
      if (!over()) this.journal.add({ ...(conn && { conn }), dir: "recv", note: step.note });
    }
  }
}

const bodyOf = ({ body, bodyHex }) => (bodyHex === undefined ? Buffer.from(body ?? "") : Buffer.from(bodyHex, "hex"));

/** How many hub messages a body has. */
function countIn(protocol, body) {
  const messages = new Messages(protocol, body[0] !== 0x7b); // a handshake's answer is JSON in any protocol
  messages.feed(body);
  return messages.seen.length;
}

/** A bearer token with the claims of a recorded one, as old today as that was then. */
function tokenLike(recorded, date) {
  const { exp, ...claims } = JSON.parse(Buffer.from(recorded.split(".")[1], "base64url"));
  if (exp !== undefined) claims.exp = exp + Math.round((Date.now() - date.getTime()) / 1000);
  const part = (o) => Buffer.from(JSON.stringify(o)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", "conformance-key-of-at-least-32-bytes!").update(signed).digest("base64url")}`;
}

/** Whether the socket is open, once that is known. */
async function ready(socket) {
  if (!socket) return false;
  await Promise.race([socket.ready, sleep(10000)]);
  return socket.open;
}
