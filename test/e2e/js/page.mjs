// Runs the client scenarios in a page and posts the outcome of each to the
// harness that served it.
import { runAll } from "./kit.mjs";
import "./all.mjs";

const post = (outcome) => fetch("/report", { method: "POST", body: JSON.stringify(outcome) });
const fault = (what) => post({ fault: String(what?.stack ?? what) });
addEventListener("error", (e) => fault(e.error ?? e.message));
addEventListener("unhandledrejection", (e) => fault(e.reason));

const query = new URLSearchParams(location.search);
await runAll(
  {
    signalR: globalThis.signalR,
    page: true,
    hub: query.get("hub") ?? location.origin,
    options: query.get("hub") ? { withCredentials: false } : {},
    harness: location.origin,
    protocol: query.get("protocol"),
    transport: query.get("transport"),
    only: query.get("only") ?? "",
  },
  post,
);
await post({ done: true });
