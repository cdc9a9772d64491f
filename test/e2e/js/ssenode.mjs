// Runs the scenarios of EventSource under Node, with npm's eventsource, and prints one
// JSON line for each:
//
//	node ssenode.mjs --hub http://127.0.0.1:PORT --harness http://127.0.0.1:PORT [--only REGEX]
import { parseArgs } from "node:util";
import signalR from "@microsoft/signalr";
import { EventSource } from "eventsource";
import { runAll } from "./kit.mjs";
import "./sse.mjs";

const { values } = parseArgs({
  options: {
    hub: { type: "string" },
    harness: { type: "string" },
    only: { type: "string", default: "" },
  },
});
process.on("unhandledRejection", (e) => {
  console.error("unhandled rejection:", e);
  process.exitCode = 1;
});

await runAll({ signalR, EventSource, protocol: "json", transport: "WebSockets", ...values }, (outcome) => console.log(JSON.stringify(outcome)));
console.log(JSON.stringify({ done: true }));
process.exit();
