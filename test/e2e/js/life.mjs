import { scenario, equal, fails, signal, truly, within } from "./kit.mjs";

scenario("life.abort", async (t) => {
  const c = await t.open();
  const call = fails(c.invoke("Abort"), "the call that aborts");
  equal(await c.closed(), undefined, "error of an abort");
  equal(await call, "Invocation canceled due to the underlying connection being closed.", "the call that aborts");
});

scenario("life.abort-ends-reconnecting-clients-too", async (t) => {
  const c = await t.open({ reconnect: [0, 0] });
  c.hub.send("Abort");
  equal(await c.events.take(), ["closed", undefined], "an abort allows no reconnect");
});

scenario("life.gone-is-told", async (t) => {
  const gone = signal();
  const watcher = await t.open({ name: "watcher", on: { Gone: (...args) => gone.resolve(args) } });
  await watcher.invoke("AddTo", "watchers");
  const c = await t.open();
  const id = await c.id();
  await c.hub.stop();
  equal(await within(5000, gone.promise, "Gone"), [id, null], "what watchers are told");
});

scenario("life.groups-end-with-their-connection", async (t) => {
  const tag = `g-${Math.random()}`;
  const a = await t.open({ name: "a" }), b = await t.open({ name: "b" });
  await b.invoke("AddTo", tag);
  await b.hub.stop();
  await b.hub.start();
  await a.invoke("ToGroup", tag, "1");
  equal(await b.settled(), [], "a new connection is in no group of the old one");
});

// What the client says of a connection that was cut: of an event stream, nothing.
// A cut poll is repeated by whatever is in between, and nobody notices.
const cut = { WebSockets: "WebSocket closed with status code: 1006" };

scenario("reconnect.after-a-cut", async (t) => {
  const c = await t.open({ cut: true, reconnect: [0, 100, 500, 1000] });
  const before = await c.id();
  const pending = fails(c.invoke("Sleep", 20000), "a call under way");
  await c.hub.send("Nothing"); // what was sent before has arrived
  await t.harness("/cut");
  truly((await c.events.take())[0] === "reconnecting", "a cut connection tries again");
  truly((await pending).startsWith(cut[t.transport] ?? "Invocation canceled due to the underlying connection being closed."), `the call under way fails: ${await pending}`);
  const [what, id] = await c.events.take();
  equal([what, id === c.hub.connectionId, id === before], ["reconnected", true, false], "the new connection");
  equal(await c.invoke("EchoString", "again"), "again", "echo on the new connection");
}, { on: ["WebSockets", "ServerSentEvents"] });

scenario("reconnect.groups-are-lost", async (t) => {
  const tag = `g-${Math.random()}`;
  const c = await t.open({ cut: true, reconnect: [0, 100, 500, 1000] });
  await c.invoke("AddTo", tag);
  await t.harness("/cut");
  await c.events.takeMany(2);
  await c.invoke("ToGroup", tag, "1");
  equal(await c.settled(), [], "membership dies with the connection");
  await c.invoke("AddTo", tag);
  await c.invoke("ToGroup", tag, "2");
  equal(await c.settled(), ["2"], "and can be had again");
}, { on: ["WebSockets", "ServerSentEvents"] });

scenario("reconnect.server-away-for-a-while", async (t) => {
  const c = await t.open({ cut: true, reconnect: [0, 50, 50, 100, 200, 500, 1000, 1000, 1000] });
  await t.harness("/down");
  equal((await c.events.take())[0], "reconnecting", "first event");
  await new Promise((resolve) => setTimeout(resolve, 150)); // a few attempts fail
  await t.harness("/up");
  equal((await c.events.take())[0], "reconnected", "second event");
  equal(await c.invoke("EchoString", "again"), "again", "echo");
}, { on: ["WebSockets", "ServerSentEvents"] });

scenario("reconnect.gives-up", async (t) => {
  const c = await t.open({ cut: true, reconnect: [0, 20] });
  try {
    await t.harness("/down");
    equal((await c.events.take())[0], "reconnecting", "first event");
    equal(await c.events.take(), ["closed", undefined], "the end after two attempts");
  } finally {
    await t.harness("/up");
  }
}, { on: ["WebSockets", "ServerSentEvents"] });

scenario("reconnect.none-without-policy", async (t) => {
  const c = await t.open({ cut: true });
  await t.harness("/cut");
  const text = await c.closed();
  truly(text === cut[t.transport] || text?.startsWith(cut[t.transport]), `text of the end: ${text}`);
}, { on: ["WebSockets", "ServerSentEvents"] });

scenario("reconnect.server-restarts", async (t) => {
  const c = await t.open({ cut: true, reconnect: Array(100).fill(200) });
  await t.harness("/restart");
  equal((await c.events.take(15000))[0], "reconnecting", "first event");
  equal((await c.events.take(15000))[0], "reconnected", "second event");
  equal(await c.invoke("EchoString", "new server"), "new server", "echo");
});

scenario("timeout.kept-alive-by-pings", async (t) => {
  // The hub pings each second and wants to hear from the client each two.
  const c = await t.open({ path: "/quick", ping: 500, serverTimeout: 4000 });
  await new Promise((resolve) => setTimeout(resolve, 5000));
  equal(c.hub.state, "Connected", "state after 5 s without a call");
  equal(await c.invoke("EchoString", "ok"), "ok", "echo");
});

scenario("timeout.silent-client", async (t) => {
  const c = await t.open({ path: "/quick", ping: 60000 });
  equal(await c.closed(6000), "Server returned an error on close: Connection closed with an error.", "the end of a client that is silent");
}, { on: ["WebSockets", "ServerSentEvents"] });
