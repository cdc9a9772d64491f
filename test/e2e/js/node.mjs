// Runs the client scenarios under Node and prints one JSON line for each:
//
//	node node.mjs --hub http://127.0.0.1:PORT --harness http://127.0.0.1:PORT --protocol json --transport WebSockets [--only REGEX]
import { parseArgs } from "node:util";
import signalR from "@microsoft/signalr";
import msgpack from "@microsoft/signalr-protocol-msgpack";
import { runAll } from "./kit.mjs";
import "./all.mjs";

const { values } = parseArgs({
  options: {
    hub: { type: "string" },
    harness: { type: "string" },
    protocol: { type: "string", default: "json" },
    transport: { type: "string", default: "WebSockets" },
    only: { type: "string", default: "" },
  },
});
process.on("unhandledRejection", (e) => {
  console.error("unhandled rejection:", e);
  process.exitCode = 1;
});

await runAll({ signalR: { ...signalR, protocols: { msgpack } }, ...values }, (outcome) => console.log(JSON.stringify(outcome)));
console.log(JSON.stringify({ done: true }));
process.exit();
