// Recordings as they lie in testdata: one file a group, one step a line; a line
// with a `name` begins a recording.
import fs from "node:fs";
import path from "node:path";

export const testdata = path.join(import.meta.dirname, "testdata");

/** All recordings of a folder, in the order of the files. */
export function read(dir = testdata) {
  const out = [];
  for (const file of fs.readdirSync(dir).filter((f) => f.endsWith(".jsonl")).sort()) {
    for (const line of fs.readFileSync(path.join(dir, file), "utf8").split("\n").filter(Boolean)) {
      const o = JSON.parse(line);
      if (o.name) out.push({ ...o, group: path.basename(file, ".jsonl"), steps: [] });
      else out.at(-1).steps.push(o);
    }
  }
  return out.map((r) => ({ ...r, title: `${r.group}/${r.name}` }));
}

/** The connections that come back to an id that was in use: they shake no hands. */
export function returns(recording) {
  const used = new Set(), out = new Set();
  for (const s of recording.steps) {
    const id = s.http && /[?&]id=([^&]*)/.exec(s.http.path)?.[1];
    if (!id || s.response?.status !== 101) continue;
    const first = recording.steps.find((x) => x.conn === s.conn && x.dir === "send" && x.text);
    if (used.has(id) && !/^\{"protocol"/.test(first?.text ?? "")) out.add(s.conn);
    used.add(id);
  }
  return out;
}

/** Writes the recordings of one group. */
export function write(dir, group, recordings) {
  const lines = recordings.flatMap(({ name, about, steps, group, title, ...rest }) => [{ name, about, ...rest }, ...steps]);
  fs.writeFileSync(path.join(dir, `${group}.jsonl`), lines.map((l) => JSON.stringify(l) + "\n").join(""));
}
