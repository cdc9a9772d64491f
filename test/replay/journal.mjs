// What was said in one run, in the form of a recording.

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Whether bytes are recorded as text: valid UTF-8 without odd control characters. */
export function isText(bytes) {
  try {
    return !/[\u0000-\u0008\u000b\u000c\u000e-\u001d]/.test(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return false;
  }
}

export const bytesOf = (data) => (Buffer.isBuffer(data) ? data : Buffer.from(data ?? ""));

/** The steps of a run, the values that vary, and the sockets to close at its end. */
export class Journal {
  steps = [];
  vary = {};
  sockets = [];
  ended = false;
  #began = Date.now();

  constructor(port) {
    this.port = port;
  }

  /** Milliseconds since the run began. */
  now() {
    return Date.now() - this.#began;
  }

  /** Notes a step, with its time. */
  add(step) {
    if (!this.ended) this.steps.push(Object.assign(step, { ms: this.now() }));
    return step;
  }

  varies(name, value) {
    if (value !== null && value !== undefined) this.vary[name] = value;
  }

  /** Ends the run: what comes later is not noted. */
  async end() {
    await sleep(20); // for what is on its way
    this.ended = true;
    for (const s of this.sockets) s.destroy();
  }
}

/** Something that can be waited for: `wake` whenever its state has changed. */
export class Waitable {
  #waiting = [];

  wake() {
    for (const w of this.#waiting.splice(0)) w();
  }

  /** Waits until f() holds; false if that takes longer than ms. */
  async until(f, ms) {
    const end = Date.now() + ms;
    while (!f()) {
      const left = end - Date.now();
      if (left <= 0) return false;
      let timer;
      await Promise.race([new Promise((r) => this.#waiting.push(r)), new Promise((r) => (timer = setTimeout(r, left)))]);
      clearTimeout(timer);
    }
    return true;
  }
}
