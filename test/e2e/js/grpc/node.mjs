// Runs the scenarios of gRPC's clients under Node, one JSON line for each:
//
//	node node.mjs --addr 127.0.0.1:PORT --root REPOSITORY --descriptors URL
import { parseArgs } from "node:util";
import { runAll } from "./kit.mjs";
import "./grpcjs.mjs";
import "./mixed.mjs";

const { values } = parseArgs({ options: { addr: { type: "string" }, root: { type: "string" }, descriptors: { type: "string" } } });
process.on("unhandledRejection", (e) => {
  console.error("unhandled rejection:", e);
  process.exitCode = 1;
});
await runAll(values, (outcome) => console.log(JSON.stringify(outcome)));
process.exit();
