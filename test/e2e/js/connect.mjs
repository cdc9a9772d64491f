import { scenario, equal, fails, truly, within } from "./kit.mjs";

scenario("connect.negotiated", async (t) => {
  const c = t.build();
  equal(c.hub.state, "Disconnected", "state before start");
  equal(c.hub.connectionId, null, "connection id before start");
  await c.hub.start();
  equal(c.hub.state, "Connected", "state after start");
  truly(c.hub.connectionId, "a negotiated connection knows its id");
  equal(c.hub.connectionId, await c.id(), "the id at the client and at the hub");
  await c.hub.stop();
  equal(c.hub.state, "Disconnected", "state after stop");
  equal(await c.closed(), undefined, "error of an ordinary stop");
});

scenario("connect.without-negotiation", async (t) => {
  const c = await t.open({ skipNegotiation: true });
  equal(c.hub.connectionId, null, "connection id at the client, who never heard of it");
  truly((await c.id()).length >= 16, "connection id at the hub");
  equal(await c.invoke("EchoString", "hi"), "hi", "echo");
}, { on: ["WebSockets"] });

scenario("connect.stop-and-start", async (t) => {
  const c = await t.open();
  const before = await c.id();
  await c.hub.stop();
  await c.hub.start();
  truly((await c.id()) !== before, "a new start has a new connection id");
});

scenario("connect.unknown-path", async (t) => {
  const c = t.build({ path: "/nothing-here" });
  equal(
    await fails(c.hub.start(), "start at a path without a hub"),
    "Failed to complete negotiation with the server: Error: Not Found: Status code '404' " +
      "Either this is not a SignalR endpoint or there is a proxy blocking the connection.",
    "text of the failed start",
  );
});

scenario("connect.greeted", async (t) => {
  const c = await t.open({ query: { greet: "1" } });
  equal(await c.heard.take(), "connected", "what the connect callback sent");
  equal(await c.settled(), [], "what came besides");
});

// The handshake is answered before the connect callback runs, so start may
// resolve or reject; the reason is the same.
async function refusal(t, path, refuse) {
  const c = t.build({ path, query: { refuse } });
  const before = t.log.length;
  try {
    await c.hub.start();
  } catch (e) {
    return e.message;
  }
  // A client whose transport ends while its first ping is on the way believes to
  // be connected, and never tells of the end: it is in its log alone.
  for (const line of t.log.slice(before)) {
    const end = / Connection disconnected with error 'Error: (.*)'\.$/.exec(line);
    if (end) return end[1];
  }
  return c.closed();
}

scenario("connect.refused", async (t) => {
  const closed = "Server returned an error on close: Connection closed with an error.";
  equal(await refusal(t, "/conformance", "1"), closed, "an ordinary error stays inside");
  equal(await refusal(t, "/conformance", "hub"), closed + " HubException: refused", "a hub's own error is told");
  equal(await refusal(t, "/detailed", "1"), closed + " InvalidOperationException: refused", "with detailed errors all are told");
});

scenario("connect.protocol-refused", async (t) => {
  const c = t.build({ path: "/json-only" });
  if (t.json) {
    await c.hub.start();
    equal(await c.invoke("EchoString", "hi"), "hi", "echo on /json-only");
    return;
  }
  equal(
    await fails(c.hub.start(), "start with a protocol that the hub has not"),
    "Server returned handshake error: The protocol 'messagepack' is not supported.",
    "text of the failed start",
  );
});

scenario("connect.no-other-transport", async (t) => {
  const path = { WebSockets: "/ws-only", ServerSentEvents: "/sse-only", LongPolling: "/lp-only" }[t.transport];
  const c = await t.open({ path });
  equal(await c.invoke("EchoString", "hi"), "hi", `echo on ${path}`);
});

scenario("connect.falls-back", async (t) => {
  const c = await t.open({ path: "/lp-only", any: true });
  equal(await c.invoke("EchoString", "hi"), "hi", "echo on /lp-only");
}, { on: ["LongPolling"] });

scenario("connect.user", async (t) => {
  const ann = await t.open({ query: { user: "ann" } });
  equal(await ann.invoke("UserId"), "ann", "user of a connection with one");
  const nobody = await t.open();
  equal(await nobody.invoke("UserId"), null, "user of a connection without");
  const empty = await t.open({ query: { user: "" } });
  equal(await empty.invoke("UserId"), null, "user of a connection with an empty name");
});

scenario("connect.fifty-at-once", async (t) => {
  if (t.env.page && t.transport !== "WebSockets") return; // a page has six HTTP/1.1 connections to a server
  const all = await Promise.all(Array.from({ length: 50 }, (_, i) => t.open({ name: `c${i}` })));
  const ids = await Promise.all(all.map((c) => c.id()));
  equal(new Set(ids).size, 50, "distinct connection ids");
  const echoes = await within(10000, Promise.all(all.map((c, i) => c.invoke("EchoInt", i))), "50 answers");
  equal(echoes, all.map((_, i) => i), "each connection has its own answer");
});
