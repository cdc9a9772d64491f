// What the scenarios of gRPC's clients have in common.

const scenarios = [];

export function scenario(name, run) {
  scenarios.push({ name, run });
}

/** Runs the scenarios one after the other and reports the outcome of each. */
export async function runAll(env, report) {
  for (const s of scenarios) {
    const began = Date.now();
    let error = "";
    let timer;
    const late = new Promise((_, no) => (timer = setTimeout(() => no(new Error("it takes 30 s")), 30000)));
    try {
      await Promise.race([s.run(env), late]);
    } catch (e) {
      error = String(e?.stack ?? e);
    }
    clearTimeout(timer);
    await report({ name: s.name, ok: error === "", ms: Date.now() - began, error });
  }
  await report({ done: true });
}

export function same(got, want, what) {
  const a = JSON.stringify(got);
  const b = JSON.stringify(want);
  if (a !== b) throw new Error(`${what}: got ${a}, want ${b}`);
}

export function check(ok, what) {
  if (!ok) throw new Error(what);
}

/** A line of what came, for those who wait for it. */
export class Line {
  #items = [];
  #waits = [];

  push(v) {
    const w = this.#waits.shift();
    if (w) w(v);
    else this.#items.push(v);
  }

  next(what = "something to come") {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    return new Promise((yes, no) => {
      const timer = setTimeout(() => no(new Error(`waited 10 s for ${what}`)), 10000);
      this.#waits.push((v) => {
        clearTimeout(timer);
        yes(v);
      });
    });
  }

  get left() {
    return this.#items.length;
  }
}
