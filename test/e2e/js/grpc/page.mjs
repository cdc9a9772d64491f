// Runs the scenarios of gRPC-Web in a browser.
import { runAll } from "./kit.mjs";
import "./web.mjs";

const query = new URLSearchParams(location.search);
const report = (outcome) => fetch("/report", { method: "POST", body: JSON.stringify(outcome) });
addEventListener("unhandledrejection", (e) => report({ fault: String(e.reason?.stack ?? e.reason) }));
await runAll({ addr: query.get("addr"), descriptors: "/descriptors" }, report);
