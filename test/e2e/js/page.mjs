// Runs the client scenarios in a page and posts the outcome of each to the
// harness that served it.
import { runAll } from "./kit.mjs";
import "./all.mjs";

const post = (outcome) => fetch("/report", { method: "POST", body: JSON.stringify(outcome) });
const fault = (what) => post({ fault: String(what?.stack ?? what) });
addEventListener("error", (e) => fault(e.error ?? e.message));
// The client awaits none of the items that it uploads, nor its pings: those that are
// still to be posted, or on their way, when a scenario stops its connection fail
// unheard.
const unheard = /^(Error: )?(No Connection with that ID: Status code '404'|Cannot send data if the connection is not in the 'Connected' State|Connection stopped|Cannot send until the transport is connected)/;
addEventListener("unhandledrejection", (e) => unheard.test(String(e.reason)) || fault(e.reason));

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
