import { scenario, equal } from "./kit.mjs";

// Three connections that nobody else sends to: groups and users have names of this run.
let runs = 0;
async function trio(t) {
  const tag = `${t.env.protocol}-${++runs}-${Math.random().toString(36).slice(2)}`;
  const [a, b, c] = await Promise.all(["a", "b", "c"].map((n) => t.open({ name: n, query: n === "c" ? {} : { user: `${n}-${tag}` } })));
  const ids = await Promise.all([a.id(), b.id(), c.id()]);
  // What each of the three has heard once all have answered.
  const heard = async () => [await a.settled(), await b.settled(), await c.settled()];
  return { tag, a, b, c, ids, heard };
}

scenario("send.all-and-others", async (t) => {
  const { a, ids, heard } = await trio(t);
  await a.invoke("ToAll", "1");
  await a.invoke("ToOthers", "2");
  await a.invoke("ToAllExcept", [ids[1]], "3");
  await a.invoke("ToCaller", "4");
  equal(await heard(), [["1", "3", "4"], ["1", "2"], ["1", "2", "3"]], "what a, b and c heard");
});

scenario("send.connections", async (t) => {
  const { a, ids, heard } = await trio(t);
  await a.invoke("ToClient", ids[1], "1");
  await a.invoke("ToClients", [ids[0], ids[2]], "2");
  await a.invoke("ToClients", [], "3");
  await a.invoke("ToClient", "nobody", "4");
  equal(await heard(), [["2"], ["1"], ["2"]], "what a, b and c heard");
});

scenario("send.groups", async (t) => {
  const { tag, a, b, c, ids, heard } = await trio(t);
  const g = `g-${tag}`, h = `h-${tag}`;
  await a.invoke("AddTo", g);
  await b.invoke("AddTo", g);
  await b.invoke("AddTo", h);
  await a.invoke("ToGroup", g, "1");
  await a.invoke("ToGroup", h, "2");
  await a.invoke("ToGroups", [g, h], "3"); // b is in both and hears it twice
  await a.invoke("ToGroupExcept", g, [ids[0]], "4");
  await a.invoke("ToOthersInGroup", g, "5");
  await a.invoke("ToGroup", `nobody-${tag}`, "6");
  equal(await heard(), [["1", "3"], ["1", "2", "3", "3", "4", "5"], []], "what a, b and c heard");
  await b.invoke("RemoveFrom", g);
  await a.invoke("AddOther", ids[2], g);
  await a.invoke("ToGroup", g, "7");
  await a.invoke("RemoveOther", ids[2], g);
  await a.invoke("RemoveOther", ids[2], g);
  await a.invoke("AddOther", "nobody", g);
  await a.invoke("ToGroup", g, "8");
  equal(await heard(), [["7", "8"], [], ["7"]], "after joins and leaves");
  await c.invoke("ToGroup", g.toUpperCase(), "9");
  equal(await heard(), [[], [], []], "names of groups are compared with their case");
});

scenario("send.users", async (t) => {
  const { tag, a, heard } = await trio(t);
  const twin = await t.open({ name: "twin", query: { user: `b-${tag}` } });
  await a.invoke("ToUser", `b-${tag}`, "1");
  await a.invoke("ToUsers", [`a-${tag}`, `b-${tag}`], "2");
  await a.invoke("ToUser", `nobody-${tag}`, "3");
  equal(await heard(), [["2"], ["1", "2"], []], "what a, b and c heard");
  equal(await twin.settled(), ["1", "2"], "a user hears it on every connection");
});

scenario("send.three-thousand-in-order", async (t) => {
  const c = await t.open();
  await c.invoke("ToCallerMany", 3000);
  equal(await c.settled(), Array.from({ length: 3000 }, (_, i) => `${i}`), "3,000 messages");
});

scenario("send.many-arguments", async (t) => {
  const c = t.build();
  const got = new Promise((resolve) => c.hub.on("Many", (...args) => resolve(args)));
  await c.hub.start();
  await c.invoke("ToCallerArgs");
  const ada = t.json
    ? { name: "Ada", age: 36, tags: ["x", "y"], nick: null }
    : { Name: "Ada", Age: 36, Tags: ["x", "y"], Nick: null };
  equal(await got, ["a", 1, true, null, ada], "arguments of Many");
});

scenario("send.to-both-protocols", async (t) => {
  // One member of a group speaks the other protocol; both hear the same.
  const { tag, a } = await trio(t);
  const { signalR, protocol } = t.env;
  const other = t.build({ name: "other" });
  t.clients.pop();
  const builder = new signalR.HubConnectionBuilder().withUrl(t.env.hub + "/conformance", { transport: 1 }).configureLogging(6);
  if (protocol === "json") builder.withHubProtocol(new signalR.protocols.msgpack.MessagePackHubProtocol());
  other.hub = builder.build();
  other.hub.on("Receive", (m) => other.heard.put(m));
  t.clients.push(other);
  await other.hub.start();
  await other.invoke("AddTo", tag);
  await a.invoke("AddTo", tag);
  for (let i = 0; i < 50; i++) await a.invoke("ToGroup", tag, `${i} ä\u{1f600}`);
  const want = Array.from({ length: 50 }, (_, i) => `${i} ä\u{1f600}`);
  equal(await a.settled(), want, "the sender's protocol");
  equal(await other.settled(), want, "the other protocol");
});

scenario("send.handlers", async (t) => {
  const c = await t.open();
  const seen = [];
  const first = (m) => seen.push("first " + m), second = (m) => seen.push("second " + m);
  c.hub.on("receive", first);
  c.hub.on("RECEIVE", second);
  await c.invoke("ToCaller", "1");
  await c.settled();
  c.hub.off("Receive", first);
  await c.invoke("ToCaller", "2");
  await c.settled();
  equal(seen, ["first 1", "second 1", "second 2"], "handlers that were called");
});
