// One group with a SignalR client of JSON, one of MessagePack, a gRPC connection
// of grpc-js and a gRPC-Web subscription of connect-web: what any of them sends
// reaches all, once, in order for each sender.
import signalR from "@microsoft/signalr";
import msgpack from "@microsoft/signalr-protocol-msgpack";
import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { scenario, same, Line } from "./kit.mjs";
import { hub } from "./grpcjs.mjs";
import { service } from "./descriptors.mjs";

const text = new TextEncoder();

scenario("mixed group", async (env) => {
  const members = [];
  for (const protocol of [null, new msgpack.MessagePackHubProtocol()]) {
    let b = new signalR.HubConnectionBuilder().withUrl(`http://${env.addr}/conformance`).configureLogging(signalR.LogLevel.None);
    if (protocol) b = b.withHubProtocol(protocol);
    const c = b.build();
    const line = new Line();
    c.on("Receive", (m) => line.push(m));
    await c.start();
    await c.invoke("AddTo", "mixed");
    members.push({ line, send: (m) => c.invoke("ToGroup", "mixed", m), close: () => c.stop() });
  }
  {
    const client = hub(env);
    const s = client.Connect();
    const line = new Line();
    const answers = new Line();
    s.on("data", (m) => (m.invocation ? line.push(JSON.parse(m.invocation.args[0])) : m.ping ? 0 : answers.push(m)));
    s.on("error", () => {});
    let id = 0;
    const call = async (target, ...args) => {
      s.write({ invocation: { id: String(++id), target, args: args.map((a) => Buffer.from(JSON.stringify(a))) } });
      const { completion } = await answers.next(`the answer to ${target}`);
      same(completion.error ?? null, null, target);
    };
    s.write({ hello: { hub: "conformance", encoding: "JSON" } });
    await answers.next("the welcome");
    await call("AddTo", "mixed");
    members.push({
      line,
      send: (m) => call("ToGroup", "mixed", m),
      close: () => {
        s.write({ close: {} });
        s.end();
        client.close();
      },
    });
  }
  {
    const c = createClient(await service(env, "hubwire.v1.Hub"), createGrpcWebTransport({ baseUrl: `http://${env.addr}` }));
    const line = new Line();
    const stop = new AbortController();
    const welcome = new Line();
    (async () => {
      try {
        for await (const m of c.subscribe({ hello: { hub: "conformance" }, groups: ["mixed"] }, { signal: stop.signal })) {
          if (m.frame.case === "welcome") welcome.push(m.frame.value);
          if (m.frame.case === "invocation") line.push(JSON.parse(new TextDecoder().decode(m.frame.value.args[0])));
        }
      } catch (e) {
        if (!stop.signal.aborted) welcome.push(e);
      }
    })();
    const w = await welcome.next("the welcome");
    members.push({
      line,
      send: async (m) => {
        const out = await c.invoke({ connectionId: w.connectionId, connectionToken: w.connectionToken, target: "ToGroup", args: ["mixed", m].map((a) => text.encode(JSON.stringify(a))) });
        same(out.outcome.case, "result", "Invoke");
      },
      close: () => stop.abort(),
    });
  }
  const n = 20;
  await Promise.all(
    members.map(async (m, i) => {
      for (let k = 0; k < n; k++) await m.send(`${i} ${k}`);
    }),
  );
  for (const [i, m] of members.entries()) {
    const next = members.map(() => 0);
    for (let k = 0; k < n * members.length; k++) {
      const [from, number] = (await m.line.next(`message ${k} at member ${i}`)).split(" ").map(Number);
      same(number, next[from]++, `member ${i}: the order of sender ${from}`);
    }
    same(m.line.left, 0, `member ${i}: more than was sent`);
  }
  for (const m of members) await m.close();
});
