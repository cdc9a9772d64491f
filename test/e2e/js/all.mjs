// All scenarios, in the order in which they run.
import "./connect.mjs";
import "./invoke.mjs";
import "./errors.mjs";
import "./streams.mjs";
import "./uploads.mjs";
import "./results.mjs";
import "./sends.mjs";
import "./life.mjs";
import "./stateful.mjs";
import "./payloads.mjs";
