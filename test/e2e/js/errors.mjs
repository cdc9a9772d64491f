import { scenario, equal, fails, gather } from "./kit.mjs";

// Each call on an endpoint that keeps its errors to itself, and on one with detailed errors.
async function told(t, calls) {
  const plain = await t.open({ path: "/conformance" });
  const detailed = await t.open({ path: "/detailed" });
  for (const [args, want, more] of calls) {
    const what = `${args[0]}(${JSON.stringify(args.slice(1)).slice(1, -1)})`;
    equal(await fails(plain.invoke(...args), what), want, `${what}, plain`);
    equal(await fails(detailed.invoke(...args), what), want + more, `${what}, detailed`);
  }
  equal(await plain.invoke("EchoString", "ok"), "ok", "the connection lives on");
  equal(await detailed.invoke("EchoString", "ok"), "ok", "the connection lives on");
}
const binding = " InvalidDataException: Error binding arguments. Make sure that the types of the provided values match the types of the hub method being invoked.";
const failed = (name) => `Failed to invoke '${name}' due to an error on the server.`;
const threw = (name) => `An unexpected error occurred invoking '${name}' on the server.`;

scenario("error.thrown", (t) =>
  told(t, [
    [["Fail", "boom"], threw("Fail"), " InvalidOperationException: boom"],
    [["fail", "boom"], threw("Fail"), " InvalidOperationException: boom"],
    [["FailHub", "boom"], threw("FailHub") + " HubException: boom", ""],
    [["FailHub", ""], threw("FailHub") + " HubException: ", ""],
    [["FailHub", "<ä>\n\u001e"], threw("FailHub") + " HubException: <ä>\n\u001e", ""],
  ]));

scenario("error.unknown-method", (t) =>
  told(t, ["NoSuchMethod", "Original", "OnConnectedAsync", "Dispose", "__proto__", "constructor", "ToString", "a.b/c d\u0000", "x".repeat(1000)].map((name) =>
    [[name], failed(name) + " HubException: Method does not exist.", ""])));

scenario("error.argument-count", (t) =>
  told(t, [
    [["EchoString"], failed("EchoString"), " InvalidDataException: Invocation provides 0 argument(s) but target expects 1."],
    [["EchoString", "a", "b"], failed("EchoString"), " InvalidDataException: Invocation provides 2 argument(s) but target expects 1."],
    [["Nothing", 1], failed("Nothing"), " InvalidDataException: Invocation provides 1 argument(s) but target expects 0."],
    [["Join3", "a", 1], failed("Join3"), " InvalidDataException: Invocation provides 2 argument(s) but target expects 3."],
  ]));

scenario("error.argument-type", (t) =>
  told(t, [
    [["EchoInt", "one"], failed("EchoInt"), binding],
    [["EchoInt", 1.5], failed("EchoInt"), binding],
    [["EchoInt", 2147483648], failed("EchoInt"), binding],
    [["EchoInt", null], failed("EchoInt"), binding],
    [["EchoString", 1], failed("EchoString"), binding],
    [["EchoBool", "true"], failed("EchoBool"), binding],
    [["EchoPerson", "x"], failed("EchoPerson"), binding],
    [["EchoMap", [1]], failed("EchoMap"), binding],
    [["EchoGuid", "not-a-guid"], failed("EchoGuid"), binding],
    [["Join3", "a", "b", true], failed("Join3"), binding],
  ]));

scenario("error.kind-of-call", async (t) => {
  for (const path of ["/conformance", "/detailed"]) {
    const c = await t.open({ path });
    equal(await fails(c.invoke("Count", 3), "a stream by invoke"),
      "The client attempted to invoke the streaming 'Count' method with a non-streaming invocation.", `a stream by invoke on ${path}`);
    equal((await gather(c.hub.stream("EchoInt", 3))).error,
      "The client attempted to invoke the non-streaming 'EchoInt' method with a streaming invocation.", `a method by stream on ${path}`);
  }
});

scenario("error.missing-upload", async (t) => {
  const c = await t.open();
  equal(await fails(c.invoke("Sum"), "an upload without its stream"),
    "An unexpected error occurred invoking 'Sum' on the server. HubException: Client sent 0 stream(s), Hub method expects 1.", "Sum()");
});
