// @grpc/grpc-js, with .proto files that are loaded as they are.
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { scenario, same, check, Line } from "./kit.mjs";

const options = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };

export function streams(env) {
  const pkg = grpc.loadPackageDefinition(loader.loadSync("streams.proto", { ...options, includeDirs: [`${env.root}/test/conformance/streamspb`] }));
  return new pkg.conformance.v1.Streams(env.addr, grpc.credentials.createInsecure());
}

export function hub(env) {
  const pkg = grpc.loadPackageDefinition(loader.loadSync("grpchub/hubgrpc/hub_service.proto", { ...options, includeDirs: [env.root] }));
  return new pkg.hubwire.v1.Hub(env.addr, grpc.credentials.createInsecure());
}

const unary = (c, m, md = new grpc.Metadata(), opts = {}) =>
  new Promise((yes) => {
    const out = {};
    const call = c.Unary(m, md, opts, (err, v) => {
      out.err = err;
      out.value = v;
    });
    call.on("metadata", (h) => (out.header = h));
    call.on("status", (s) => {
      out.status = s;
      yes(out);
    });
  });

scenario("grpc-js.unary", async (env) => {
  const c = streams(env);
  const md = new grpc.Metadata();
  md.add("x-one", "1");
  md.add("x-blob-bin", Buffer.from([0, 255]));
  const r = await unary(c, { tag: "t\u00e9", payload_size: 300, echo_metadata: ["x-one", "x-blob-bin"], echo_metadata_on_wire: true }, md);
  same(r.value.tag, "t\u00e9", "tag");
  same(r.value.payload.length, 300, "payload");
  same(r.header.get("echo-x-one"), ["1"], "header");
  same([...r.status.metadata.get("echo-t-x-blob-bin")[0]], [0, 255], "trailer");
  c.close();
});

scenario("grpc-js.errors", async (env) => {
  const c = streams(env);
  const r = await unary(c, { fail: { code: 5, message: "h\u00e9 \u4e16\u754c 100%", rich: true, reason: "WHY" } });
  same([r.err.code, r.err.details], [5, "h\u00e9 \u4e16\u754c 100%"], "status");
  check(r.err.metadata.get("grpc-status-details-bin").length === 1, "details");
  const plain = await unary(c, { fail: { throw_plain: true, message: "secret" } });
  same(plain.err.code, 2, "a plain error");
  check(!plain.err.details.includes("secret"), "the text stays inside");
  c.close();
});

const collect = (s) =>
  new Promise((yes) => {
    const got = [];
    let status;
    s.on("data", (m) => got.push(m));
    s.on("error", (e) => (status = e));
    s.on("status", (x) => yes({ got, status: status ?? x }));
  });

scenario("grpc-js.server stream", async (env) => {
  const c = streams(env);
  const r = await collect(c.ServerStream({ count: 500, payload_size: 10 }));
  same(r.got.map((m) => m.seq), [...Array(500).keys()], "seq");
  same(r.status.code, 0, "status");
  const f = await collect(c.ServerStream({ count: 5, fail_after: 2, fail: { code: 9, message: "enough" } }));
  same([f.got.length, f.status.code, f.status.details], [2, 9, "enough"], "an error after two");
  c.close();
});

scenario("grpc-js.client stream", async (env) => {
  const c = streams(env);
  const out = await new Promise((yes, no) => {
    const s = c.ClientStream((err, v) => (err ? no(err) : yes(v)));
    for (let i = 0; i < 100; i++) s.write({ payload: Buffer.alloc(i) });
    s.end();
  });
  same([out.received, out.received_bytes], ["100", "4950"], "received");
  c.close();
});

scenario("grpc-js.bidi", async (env) => {
  const c = streams(env);
  const s = c.Bidi();
  const line = new Line();
  s.on("data", (m) => line.push(m.tag));
  s.on("end", () => line.push("end"));
  for (let i = 0; i < 20; i++) {
    s.write({ tag: `p${i}` });
    same(await line.next(), `p${i}`, "ping-pong");
  }
  s.end();
  same(await line.next(), "end", "the end");
  c.close();
});

scenario("grpc-js.deadline and cancel", async (env) => {
  const c = streams(env);
  const r = await unary(c, { wait_for_cancel: true, cancel_key: "js" }, undefined, { deadline: Date.now() + 300 });
  same(r.err.code, 4, "deadline");
  const s = c.ServerStream({ count: 1, wait_for_cancel: true, cancel_key: "js2" });
  const end = collect(s);
  s.once("data", () => s.cancel());
  same((await end).status.code, 1, "cancel");
  for (let i = 0; i < 100; i++) {
    const { value } = await unary(c, { query_key: "js2" });
    if (value.noted === "cancelled") break;
    check(i < 99, `the server noted ${value.noted}`);
    await new Promise((yes) => setTimeout(yes, 50));
  }
  c.close();
});

scenario("grpc-js.hub", async (env) => {
  const c = hub(env);
  const s = c.Connect();
  const line = new Line();
  s.on("data", (m) => line.push(m));
  s.on("error", (e) => line.push({ error: e }));
  s.write({ hello: { hub: "conformance", query: { user: "js" } } });
  const { welcome } = await line.next("the welcome");
  check(welcome.connection_id !== "", "an id");
  const call = (id, target, ...args) => s.write({ invocation: { id, target, args: args.map((a) => Buffer.from(JSON.stringify(a))) } });
  call("1", "Join3", "a", 2, true);
  const { completion } = await line.next("the result");
  same([completion.id, JSON.parse(completion.result)], ["1", "a|2|True"], "Join3");
  s.write({ invocation: { id: "2", target: "Count", wants_stream: true, args: [Buffer.from("3")] } });
  const items = [];
  for (;;) {
    const m = await line.next("the stream");
    if (m.frame === "completion") {
      same([m.completion.id, m.completion.error ?? null], ["2", null], "the end");
      break;
    }
    items.push(JSON.parse(m.item.item));
  }
  same(items, [0, 1, 2], "items");
  call("3", "Ask", "who?");
  const q = (await line.next("the question")).invocation;
  same([q.target, JSON.parse(q.args[0])], ["Answer", "who?"], "the question");
  s.write({ completion: { id: q.id, result: Buffer.from('"me"') } });
  same(JSON.parse((await line.next("the answer")).completion.result), "me", "Ask");
  s.write({ close: {} });
  check((await line.next("the close")).close, "a Close frame");
  c.close();
});
