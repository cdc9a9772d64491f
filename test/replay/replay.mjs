// Plays the recordings of testdata against a server and compares what comes back.
//
//	node replay.mjs --start "go run ./test/conformance -addr 127.0.0.1:{port}"
//	node replay.mjs --url http://127.0.0.1:PORT    leaves out those that want a fresh server
//
//	--only REGEX       recordings by title, such as streams/count
//	--jobs N           how many at a time (4)
//	--transports A,B   compare only these of what negotiate offers (all)
//	--json             one line of JSON for each recording: { name, ok, ms, error, skip }
//	--accept           write down what is seen where a deviation is allowed
//	--exact            without the list of deviations (for the server that was recorded)
//
// Exit status: 0 if all are the same or deviate as written down, 1 if not, 2 if
// it could not be found out.
import { parseArgs } from "node:util";
import { differences, seen, timeDifferences } from "./compare.mjs";
import * as deviations from "./deviations.mjs";
import { play } from "./play.mjs";
import { read } from "./recordings.mjs";
import { start } from "./server.mjs";

const { values: opt } = parseArgs({
  options: {
    start: { type: "string" },
    url: { type: "string" },
    only: { type: "string", default: "" },
    jobs: { type: "string", default: "4" },
    transports: { type: "string" },
    json: { type: "boolean" },
    accept: { type: "boolean" },
    exact: { type: "boolean" },
  },
});
if (!opt.start === !opt.url) {
  console.error("replay: one of --start and --url is needed");
  process.exit(2);
}
const how = { transports: opt.transports?.split(",") };
const all = read();
const instead = deviations.instead();
const accepted = {};
const count = { same: 0, deviating: 0, failed: 0, skipped: 0 };

/** The outcome of one recording: { ok, error } or { skip }. */
async function judge(recording, server) {
  const own = await play(recording, server);
  const want = seen(recording, how), got = seen(own, how);
  const diff = differences(want, got);
  if (recording.group === "timing") diff.push(...timeDifferences(recording, own));
  const deviation = opt.exact ? undefined : deviations.covers(recording.title);
  if (deviation) {
    if (diff.length === 0) {
      if (recording.repeatable === false) return { ok: true };
      return { error: `is the same as the recording, but deviations.json lists it (${deviation.rule}): take it off the list` };
    }
    if (recording.repeatable === false) return { ok: true, deviates: true };
    const written = instead[recording.title] ?? [];
    const news = written.map((w) => differences(w, got));
    const known = news.some((n) => n.length === 0);
    if (known || opt.accept) {
      accepted[recording.title] = known ? written : [...written, got];
      return { ok: true, deviates: true };
    }
    if (written.length === 0) return { error: `deviates (${deviation.rule}), but what is to be seen instead is not written down: look, then run with --accept\n${diff.join("\n")}` };
    return { error: `deviates in another way than written down (${deviation.rule}: ${deviation.reason})\n${news[0].join("\n")}` };
  }
  if (diff.length > 0 && recording.repeatable === false) return { skip: `the recorded server itself answers this differently from run to run\n${diff.join("\n")}` };
  return { ok: diff.length === 0, error: `${recording.about}\n${diff.join("\n")}` };
}

function report(recording, outcome, ms) {
  count[outcome.skip ? "skipped" : !outcome.ok ? "failed" : outcome.deviates ? "deviating" : "same"]++;
  const { ok = false, error = "", skip = "" } = outcome;
  if (opt.json) console.log(JSON.stringify({ name: recording.title, ok, ms, error: ok ? "" : error, skip }));
  else if (!ok) console.log(`${skip ? "skip" : "FAIL"} ${recording.title}: ${(error || skip).replaceAll("\n", "\n    ")}`);
}

// The long ones first, so that they do not wait for their turn at the end.
const length = (r) => r.steps.reduce((n, s) => n + (s.pause ?? 0) + (s.nothingFor ?? 0) + 100, r.steps.at(-1)?.ms ?? 0);
const queue = all.filter((r) => new RegExp(opt.only).test(r.title)).sort((a, b) => length(b) - length(a));
if (queue.length === 0) {
  console.error("replay: no recording has such a title");
  process.exit(2);
}
// What depends on time is played once more, alone, before it counts as a failure:
// a busy machine lets a stream of one item each 50 ms yield one more or less.
const slow = /Forever|CountSlowly|Sleep/;
const timed = (r) => r.timed || r.steps.some((s) => s.pause || s.nothingFor || slow.test(s.text ?? Buffer.from(s.hex ?? "", "hex").toString("latin1")));
const again = [];

async function turn(recording, last) {
  if (recording.fresh && !opt.start) return report(recording, { skip: "wants a fresh server" }, 0);
  const began = Date.now();
  const server = recording.fresh ? await start(opt.start) : shared;
  const outcome = await judge(recording, server).catch((e) => ({ error: e.stack }));
  if (server !== shared) server.stop();
  if (!last && !outcome.ok && timed(recording)) again.push(recording);
  else report(recording, outcome, Date.now() - began);
}

let shared;
try {
  shared = opt.start ? await start(opt.start) : { port: Number(new URL(opt.url).port), stop() {} };
  await Promise.all(Array.from({ length: Number(opt.jobs) }, async () => {
    for (let recording; (recording = queue.shift()); ) await turn(recording, false);
  }));
  for (const recording of again) await turn(recording, true);
} catch (e) {
  console.error(`replay: ${e.message}`);
  process.exit(2);
}
shared.stop();
for (const pattern of opt.exact ? [] : deviations.idle(all.map((r) => r.title))) {
  report({ title: `deviations/${pattern}` }, { error: "deviations.json names it, but there is no such recording" }, 0);
}
if (opt.accept) deviations.writeInstead({ ...Object.fromEntries(Object.entries(instead).filter(([k]) => deviations.covers(k))), ...accepted });
if (opt.json) console.log(JSON.stringify({ done: true }));
else console.log(`${count.same} same, ${count.deviating} deviate as written down, ${count.failed} failed, ${count.skipped} skipped`);
process.exit(count.failed > 0 ? 1 : 0);
