// The official client on every node of a fleet, in both protocols: what one sends
// through its node, those on the others hear. Prints a JSON line for each
// scenario:
//
//	node fleet.mjs --hubs http://127.0.0.1:PORT,http://127.0.0.1:PORT,… --transport WebSockets
import { parseArgs } from "node:util";
import signalR from "@microsoft/signalr";
import msgpack from "@microsoft/signalr-protocol-msgpack";
import { scenario, runAll, equal, fails, signal } from "./kit.mjs";

const { values } = parseArgs({ options: { hubs: { type: "string" }, transport: { type: "string" } } });
const hubs = values.hubs.split(",");
const protocols = values.transport === "ServerSentEvents" ? ["json"] : ["json", "msgpack"];

// Everybody: one client a node and a protocol. Users: "json" and "msgpack" of this run.
async function everybody(t) {
  const tag = Math.random().toString(36).slice(2);
  const all = [];
  for (const hub of hubs) {
    for (const protocol of protocols) {
      t.env.hub = hub;
      t.env.protocol = protocol;
      const name = `${protocol} at ${hub}`;
      const c = await t.open({ name, query: { user: protocol + tag }, on: { Answer: (q) => `${name} says ${q}` } });
      c.name = name;
      c.user = protocol + tag;
      all.push(c);
    }
  }
  for (const c of all) c.connection = await c.id();
  return { all, tag };
}

// Has from call a method that sends `text`, and waits until `to` have heard it.
// What others hear in vain shows at the next message that they wait for.
async function send(from, to, text, method, ...args) {
  await from.invoke(method, ...args, text);
  for (const c of to) equal(await c.heard.take(10000, `${method} from ${from.name} to ${c.name}`), text, `${method} from ${from.name} to ${c.name}`);
}

const without = (all, ...some) => all.filter((c) => !some.includes(c));

scenario("fleet.all", async (t) => {
  const { all } = await everybody(t);
  for (const from of all) {
    const other = all[(all.indexOf(from) + protocols.length) % all.length];
    await send(from, all, `all ${from.name} ü😀`, "ToAll");
    await send(from, without(all, from), "others", "ToOthers");
    await send(from, without(all, other), "except", "ToAllExcept", [other.connection]);
    await send(from, [from], "caller", "ToCaller");
  }
});

scenario("fleet.connections-and-users", async (t) => {
  const { all } = await everybody(t);
  for (const from of all) {
    for (const to of all) await send(from, [to], `to ${to.name}`, "ToClient", to.connection);
    await send(from, [all[0], all.at(-1)], "two", "ToClients", [all[0].connection, all.at(-1).connection]);
    for (const user of new Set(all.map((c) => c.user))) await send(from, all.filter((c) => c.user === user), `to ${user}`, "ToUser", user);
    await send(from, all, "both users", "ToUsers", [...new Set(all.map((c) => c.user))]);
  }
});

scenario("fleet.groups", async (t) => {
  const { all, tag } = await everybody(t);
  const room = `room ${tag}`;
  for (const from of all) {
    for (const c of all) await from.invoke("AddOther", c.connection, room); // changes cross too, and are done when they are answered
    const other = all[(all.indexOf(from) + protocols.length) % all.length];
    await send(from, all, "group", "ToGroup", room);
    await send(from, without(all, from), "others in group", "ToOthersInGroup", room);
    await send(from, without(all, other), "group except", "ToGroupExcept", room, [other.connection]);
    await from.invoke("RemoveOther", other.connection, room);
    await send(from, without(all, other), "one has left", "ToGroup", room);
    for (const c of all) await from.invoke("RemoveOther", c.connection, room);
    await from.invoke("ToGroup", room, "nobody is here");
    await send(from, all, "the end", "ToAll");
  }
});

scenario("fleet.answers", async (t) => {
  const { all } = await everybody(t);
  for (const from of all) {
    for (const to of without(all, from)) equal(await from.invoke("AskClient", to.connection, "hi"), `${to.name} says hi`, `${from.name} asks`);
    await fails(from.invoke("AskClient", "nobody", "hi"), "a question to nobody");
  }
});

scenario("fleet.answers-of-one-that-leaves", async (t) => {
  const { all } = await everybody(t);
  const asker = all[0];
  const asked = signal();
  const last = all.at(-1);
  last.hub.off("Answer");
  last.hub.on("Answer", () => (asked.resolve(), new Promise(() => {})));
  const answer = fails(asker.invoke("AskClient", last.connection, "hi"), "AskClient");
  await asked.promise;
  await last.hub.stop();
  await answer;
});

await runAll({ signalR: { ...signalR, protocols: { msgpack } }, transport: values.transport, hub: hubs[0], limit: 60000 }, (outcome) => console.log(JSON.stringify(outcome)));
console.log(JSON.stringify({ done: true }));
process.exit();
