// One HTTP/1.1 exchange over a socket of its own, written and read by hand so
// that wrong requests can be sent and every header be seen.
import net from "node:net";
import { Waitable, bytesOf, isText } from "./journal.mjs";

const head = ({ method, path, headers = {}, body, rawBody }, port) => {
  const payload = rawBody ?? bytesOf(body);
  const all = { Host: `127.0.0.1:${port}`, ...headers };
  const has = (name) => Object.keys(all).some((k) => k.toLowerCase() === name);
  if (!has("content-length") && !has("transfer-encoding") && (payload.length || /^(POST|PUT|PATCH)$/.test(method))) all["Content-Length"] = `${payload.length}`;
  const lines = Object.entries(all).flatMap(([k, v]) => [v].flat().map((x) => `${k}: ${x}`));
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`, "latin1"), payload]);
};

export class Exchange extends Waitable {
  done = false; // the response is whole, or will never be
  chunks = [];
  #rest = Buffer.alloc(0);
  #state = "head";
  #left = 0;

  /**
   * Sends req on a new connection.
   *   conn, id  how the recording names the connection and the request
   *   waits     the response belongs to the step of the request; else it is a step of its own
   *   stream    the chunks of the body are steps
   */
  constructor(journal, req, { conn, id, waits = true, stream = false } = {}) {
    super();
    Object.assign(this, { journal, req, waits, stream, id, base: { ...(conn && { conn }), ...(id && { id }) } });
    const shown = { method: req.method, path: req.path, headers: req.headers };
    if (req.rawBody) shown.bodyOnTheWire = req.rawBody.toString("latin1");
    else Object.assign(shown, isText(bytesOf(req.body)) ? { body: `${req.body ?? ""}` } : { bodyHex: req.body.toString("hex") });
    this.step = journal.add({ ...this.base, http: shown });

    this.socket = net.connect(journal.port, "127.0.0.1", () => this.socket.write(head(req, journal.port)));
    this.socket.setNoDelay(true);
    journal.sockets.push(this.socket);
    this.socket.on("data", (d) => this.#read(d));
    for (const e of ["end", "error", "close"]) this.socket.on(e, () => this.#gone());
  }

  /** Drops the connection, on the client's own decision. */
  abort() {
    this.aborted = true;
    this.journal.add({ ...this.base, dir: "send", abort: true });
    this.socket.destroy();
  }

  /** No response came in time. */
  giveUp() {
    this.step.response = null;
    this.aborted = true;
    this.socket.destroy();
  }

  /** What came behind the head of a 101. */
  takeRest() {
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    return rest;
  }

  #respond(more) {
    const response = (this.response = { status: this.status, headers: this.headers, ...more });
    if (this.waits) this.step.response = response;
    else this.journal.add({ ...this.base, responseTo: this.id, response });
  }

  #finish(body) {
    this.body = body;
    this.done = true;
    if (this.streaming) this.journal.add({ ...this.base, dir: "recv", end: true });
    else this.#respond(isText(body) ? { body: body.toString() } : { bodyHex: body.toString("hex") });
    this.wake();
    this.socket.end();
  }

  #gone() {
    if (this.done || this.status === 101) return;
    if (this.#state === "until-the-end") return this.#finish(Buffer.concat(this.chunks));
    this.done = true;
    if (!this.aborted) this.journal.add({ ...this.base, dir: "recv", eof: true, note: "the connection ended without a whole response" });
    this.wake();
  }

  #read(data) {
    this.#rest = Buffer.concat([this.#rest, data]);
    while (!this.done && this.#step());
  }

  // Reads one part of the response; false when it needs more bytes.
  #step() {
    const rest = this.#rest;
    switch (this.#state) {
      case "head": {
        const end = rest.indexOf("\r\n\r\n");
        if (end < 0) return false;
        this.#rest = rest.subarray(end + 4);
        this.#head(rest.toString("latin1", 0, end));
        return true;
      }
      case "length":
        if (rest.length < this.#left) return false;
        this.#finish(rest.subarray(0, this.#left));
        return false;
      case "chunks": {
        const line = rest.indexOf("\r\n");
        const size = parseInt(rest.toString("latin1", 0, Math.max(line, 0)), 16);
        if (line < 0 || rest.length < line + size + 4) return false;
        this.#rest = rest.subarray(line + size + 4);
        if (size === 0) this.#finish(Buffer.concat(this.chunks));
        else this.#chunk(rest.subarray(line + 2, line + 2 + size));
        return true;
      }
      case "until-the-end":
        if (rest.length === 0) return false;
        this.#rest = Buffer.alloc(0);
        this.#chunk(rest);
        return false;
    }
    return false;
  }

  #head(text) {
    const [first, ...lines] = text.split("\r\n");
    this.status = Number(/^HTTP\/1\.\d (\d+)/.exec(first)?.[1]);
    this.headers = {};
    for (const l of lines) {
      const [, k, v] = /^([^:]*):\s*(.*)$/.exec(l);
      this.headers[k] = k in this.headers ? [this.headers[k], v].flat() : v;
    }
    const get = (name) => Object.entries(this.headers).find(([k]) => k.toLowerCase() === name)?.[1];
    const length = get("content-length");
    if (this.status === 101) {
      this.done = true;
      this.#respond();
      this.wake();
      return;
    }
    if (this.req.method === "HEAD" || this.status === 204 || this.status === 304) return this.#finish(Buffer.alloc(0));
    this.#state = /chunked/i.test(get("transfer-encoding") ?? "") ? "chunks" : length !== undefined ? "length" : "until-the-end";
    this.#left = Number(length ?? 0);
    if (this.stream && this.#state !== "length") {
      this.streaming = true;
      this.#respond({ streaming: true });
    }
    this.wake();
  }

  #chunk(bytes) {
    this.chunks.push(bytes);
    if (this.streaming) this.journal.add({ ...this.base, dir: "recv", ...(isText(bytes) ? { text: bytes.toString() } : { hex: bytes.toString("hex") }) });
    this.wake();
  }
}
