// gRPC-Web: connect-web, and the official grpc-web as bytes and as text.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as official from "grpc-web";
import { scenario, same, check } from "./kit.mjs";
import { service } from "./descriptors.mjs";

const web = official.default ?? official;

const connect = async (env) => createClient(await service(env, "conformance.v1.Streams"), createGrpcWebTransport({ baseUrl: `http://${env.addr}` }));

scenario("connect-web.unary", async (env) => {
  const c = await connect(env);
  const r = await c.unary({ tag: "t\u00e9", payloadSize: 300 });
  same([r.tag, r.payload.length], ["t\u00e9", 300], "response");
  try {
    await c.unary({ fail: { code: 5, message: "h\u00e9 100%" } });
    throw new Error("no error");
  } catch (e) {
    check(e instanceof ConnectError, e);
    same([e.code, e.rawMessage], [Code.NotFound, "h\u00e9 100%"], "error");
  }
});

scenario("connect-web.stream comes one by one", async (env) => {
  const c = await connect(env);
  const began = performance.now();
  const at = [];
  for await (const m of c.serverStream({ count: 10, delayMs: 50 })) at.push([m.seq, performance.now() - began]);
  same(at.map(([n]) => n), [...Array(10).keys()], "seq");
  check(at[9][1] - at[0][1] > 250, `the messages came together: ${at.map(([, t]) => Math.round(t))}`);
});

scenario("connect-web.deadline and cancel", async (env) => {
  const c = await connect(env);
  try {
    await c.unary({ waitForCancel: true }, { timeoutMs: 300 });
    throw new Error("no error");
  } catch (e) {
    same(e.code, Code.DeadlineExceeded, `deadline: ${e}`);
  }
  const stop = new AbortController();
  try {
    for await (const _ of c.serverStream({ count: 3, waitForCancel: true, cancelKey: "web" }, { signal: stop.signal })) stop.abort();
    throw new Error("no error");
  } catch (e) {
    same(e.code, Code.Canceled, `cancel: ${e}`);
  }
});

for (const format of ["text", "binary"]) {
  scenario(`grpc-web.${format}`, async (env) => {
    const s = await service(env, "conformance.v1.Streams");
    const client = new web.GrpcWebClientBase({ format });
    const url = (m) => `http://${env.addr}/conformance.v1.Streams/${m}`;
    const about = (m, type) =>
      new web.MethodDescriptor(
        `/conformance.v1.Streams/${m.name}`,
        type,
        Object,
        Object,
        (x) => toBinary(m.input, create(m.input, x)),
        (b) => fromBinary(m.output, b),
      );
    const method = (name) => s.methods.find((m) => m.name === name);
    const call = (m, md = {}) =>
      new Promise((yes) => client.rpcCall(url("Unary"), m, md, about(method("Unary"), web.MethodType.UNARY), (err, v) => yes({ err, v })));
    const ok = await call({ tag: "x", payloadSize: 1000 });
    same([ok.err, ok.v?.tag, ok.v?.payload.length], [null, "x", 1000], "unary");
    const bad = await call({ fail: { code: 7, message: "no" } });
    same([bad.err?.code, bad.err?.message], [7, "no"], "error");
    const auth = await call({ requireToken: "s3cret" }, { authorization: "Bearer s3cret" });
    same(auth.err, null, "authorization");
    const began = performance.now();
    const at = [];
    const status = await new Promise((yes) => {
      const st = client.serverStreaming(url("ServerStream"), { count: 10, delayMs: 50 }, {}, about(method("ServerStream"), web.MethodType.SERVER_STREAMING));
      st.on("data", (m) => at.push([m.seq, performance.now() - began]));
      st.on("error", (e) => yes(e.code));
      st.on("end", () => yes(0));
    });
    same([status, ...at.map(([n]) => n)], [0, ...Array(10).keys()], "stream");
    // As bytes the library waits for the end of the response.
    if (format === "text") check(at[9][1] - at[0][1] > 250, `the messages came together: ${at.map(([, t]) => Math.round(t))}`);
  });
}

scenario("hub.subscribe and invoke", async (env) => {
  const c = createClient(await service(env, "hubwire.v1.Hub"), createGrpcWebTransport({ baseUrl: `http://${env.addr}` }));
  const stop = new AbortController();
  const text = new TextEncoder();
  const got = [];
  try {
    for await (const m of c.subscribe({ hello: { hub: "conformance" }, groups: ["page"] }, { signal: stop.signal })) {
      if (m.frame.case === "welcome") {
        const w = m.frame.value;
        for (const s of ["a", "b"]) {
          const out = await c.invoke({ connectionId: w.connectionId, connectionToken: w.connectionToken, target: "ToGroup", args: ["page", s].map((a) => text.encode(JSON.stringify(a))) });
          same(out.outcome.case, "result", "Invoke");
        }
      }
      if (m.frame.case === "invocation") got.push(JSON.parse(new TextDecoder().decode(m.frame.value.args[0])));
      if (got.length === 2) stop.abort();
    }
  } catch (e) {
    if (!stop.signal.aborted) throw e;
  }
  same(got, ["a", "b"], "events");
});
