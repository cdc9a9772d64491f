import { scenario, equal } from "./kit.mjs";

const lasting = { path: "/stateful", stateful: true, cut: true };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

scenario("stateful.cut-when-idle", async (t) => {
  const c = await t.open(lasting);
  const before = await c.id();
  await c.invoke("AddTo", "stateful-room");
  await t.harness("/cut");
  equal(await c.invoke("EchoString", "on"), "on", "echo over the next socket");
  equal(await c.id(), before, "the connection's id");
  await c.invoke("ToGroup", "stateful-room", "still a member");
  equal(await c.settled(), ["still a member"], "what the group heard");
}, { on: ["WebSockets"] });

scenario("stateful.call-over-a-cut", async (t) => {
  const c = await t.open(lasting);
  const call = c.invoke("Sleep", 700);
  await t.harness("/cut");
  await call;
  equal(await c.invoke("EchoInt", 7), 7, "the next call");
}, { on: ["WebSockets"] });

scenario("stateful.nothing-lost-or-doubled", async (t) => {
  const c = await t.open(lasting);
  const calls = [];
  for (let i = 0; i < 60; i++) {
    calls.push(c.invoke("EchoInt", i));
    c.hub.send("ToCaller", `${i}`).catch(() => {}); // resolves when it was acknowledged
    if (i % 20 === 10) await t.harness("/cut");
    await pause(5);
  }
  equal(await Promise.all(calls), [...calls.keys()], "the answers");
  equal(await c.settled(), [...calls.keys()].map(String), "the events");
}, { on: ["WebSockets"] });

scenario("stateful.abort", async (t) => {
  const c = await t.open(lasting);
  c.hub.send("Abort").catch(() => {});
  equal(await c.closed(), undefined, "error of an abort"); // after one more upgrade, which is refused
}, { on: ["WebSockets"] });

scenario("stateful.many-cuts", async (t) => {
  const c = await t.open(lasting);
  const before = await c.id();
  for (let i = 0; i < 10; i++) {
    await t.harness("/cut");
    equal(await c.invoke("EchoInt", i), i, `echo after cut ${i}`);
  }
  equal(await c.id(), before, "the connection's id");
}, { on: ["WebSockets"] });
