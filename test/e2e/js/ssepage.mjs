// Runs the scenarios of EventSource in a page, with the browser's own, and posts the
// outcome of each to the harness that served it.
import { runAll } from "./kit.mjs";
import "./sse.mjs";

const post = (outcome) => fetch("/report", { method: "POST", body: JSON.stringify(outcome) });
const fault = (what) => post({ fault: String(what?.stack ?? what) });
addEventListener("error", (e) => fault(e.error ?? e.message));
addEventListener("unhandledrejection", (e) => fault(e.reason));

const query = new URLSearchParams(location.search);
await runAll(
  {
    signalR: globalThis.signalR,
    EventSource: globalThis.EventSource,
    hub: query.get("hub") ?? location.origin,
    options: query.get("hub") ? { withCredentials: false } : {},
    harness: location.origin,
    protocol: "json",
    transport: "WebSockets",
    only: query.get("only") ?? "",
  },
  post,
);
await post({ done: true });
