// Turns recordings, one JSON file each, into the form of testdata:
//
//	node import.mjs --except 'REGEX' FOLDER
//
// --except leaves out recordings whose "file transport endpoint path path …"
// matches, for those that need what is not built yet. What
// varies anyway (Date), what is Kestrel's own (Server), what a reader can decode
// himself (notes on MessagePack frames) and times, except where they are the
// point (group timing, and others that took their time), stay behind.
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { testdata, write } from "./recordings.mjs";

const { values, positionals } = parseArgs({ options: { except: { type: "string", default: "^$" } }, allowPositionals: true });
const except = new RegExp(values.except);
const groups = {};
for (const file of fs.readdirSync(positionals[0], { recursive: true }).filter((f) => /[\\/].*\.json$/.test(f)).sort()) {
  const { group, ...doc } = JSON.parse(fs.readFileSync(path.join(positionals[0], file)));
  const paths = doc.steps.filter((s) => s.http).map((s) => s.http.path);
  if (except.test([file, doc.transport, doc.endpoint, ...paths].join(" "))) continue;
  const timing = group === "timing";
  // Tokens were good or bad as of that day: the player makes such ones for today.
  const day = doc.steps.map((s) => s.response?.headers?.Date).find(Boolean);
  if (day && /eyJ[\w-]+\.eyJ/.test(JSON.stringify(doc.vary))) doc.date = day;
  for (const s of doc.steps) {
    for (const name of ["Date", "Server"]) delete s.response?.headers?.[name];
    if (s.response) delete s.response.reason;
    if (s.http?.body === "") delete s.http.body;
    if (s.hex !== undefined) delete s.note;
    if (!timing && !doc.timed) delete s.ms;
    delete s.responseMs;
  }
  if (/two-questions/.test(file)) doc.unordered = true; // answers to independent calls
  // When Acks come depends on the phase of the server's clock. Some recordings are about them.
  if (group === "stateful" && !/ack-cadence|version-1|negotiate|other-endpoint/.test(file)) doc.acks = "vary";
  (groups[group] ??= []).push(doc);
}
fs.mkdirSync(testdata, { recursive: true });
for (const [group, recordings] of Object.entries(groups)) {
  write(testdata, group, recordings);
  console.log(`${group}: ${recordings.length}`);
}
