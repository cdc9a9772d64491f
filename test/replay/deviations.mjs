// The one list of recordings from which hubwire differs on purpose, and of what
// it does there instead. A deviation that no longer deviates is an error, and so
// is one that deviates in another way than written down.
import fs from "node:fs";
import path from "node:path";

const listFile = path.join(import.meta.dirname, "deviations.json");
const insteadFile = path.join(import.meta.dirname, "testdata", "instead.json");

/** [{ files: [pattern, …], rule, reason }, …] */
export const list = JSON.parse(fs.readFileSync(listFile));
for (const d of list) {
  if (!Array.isArray(d.files) || !/^(F|D)\d+$/.test(d.rule) || !d.reason) throw new Error(`deviations.json: ${JSON.stringify(d)}: files, a rule (F or D and a number) and a reason are needed`);
  d.patterns = d.files.map((f) => new RegExp(`^${f.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", "[^/]*")}$`));
}

/** The entry that covers a recording. */
export const covers = (title) => list.find((d) => d.patterns.some((p) => p.test(title)));

/** Patterns that cover none of the recordings. */
export function idle(titles) {
  return list.flatMap((d) => d.files.filter((_, i) => !titles.some((t) => d.patterns[i].test(t))));
}

/**
 * What is to be seen instead, by recording: a list, since where two connections
 * end at once, what one hears of the other is not fixed.
 */
export function instead() {
  return fs.existsSync(insteadFile) ? JSON.parse(fs.readFileSync(insteadFile)) : {};
}

export function writeInstead(all) {
  const lines = Object.keys(all).sort().map((k) => `${JSON.stringify(k)}: ${JSON.stringify(all[k], null, 1)}`);
  fs.writeFileSync(insteadFile, `{\n${lines.join(",\n")}\n}\n`);
}
