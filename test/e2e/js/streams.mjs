import { scenario, equal, eventually, gather, signal, truly, within } from "./kit.mjs";

const upTo = (n) => Array.from({ length: n }, (_, i) => i);

scenario("stream.count", async (t) => {
  const c = await t.open();
  for (const n of [0, 1, 2, 100, 5000]) equal(await c.collect("Count", n), { items: upTo(n), error: null }, `Count(${n})`);
});

scenario("stream.channel", async (t) => {
  const c = await t.open();
  equal(await c.collect("CountChannel", 20), { items: upTo(20), error: null }, "CountChannel(20)");
});

scenario("stream.slowly", async (t) => {
  const c = await t.open();
  equal(await c.collect("CountSlowly", 5, 20), { items: upTo(5), error: null }, "CountSlowly(5, 20)");
});

scenario("stream.empty-and-null", async (t) => {
  const c = await t.open();
  equal(await c.collect("EmptyStream"), { items: [], error: null }, "EmptyStream");
  equal(await c.collect("NullStream"),
    { items: [], error: "The value returned by the streaming method 'NullStream' is not a ChannelReader<> or IAsyncEnumerable<>." }, "NullStream");
});

scenario("stream.fails", async (t) => {
  const text = "An error occurred on the server while streaming results.";
  const plain = await t.open(), detailed = await t.open({ path: "/detailed" });
  equal(await plain.collect("CountThenFail", 3), { items: upTo(3), error: text }, "an ordinary error");
  equal(await plain.collect("CountThenFailHub", 3), { items: upTo(3), error: text + " HubException: stream failed" }, "a hub's own error");
  equal(await detailed.collect("CountThenFail", 2), { items: upTo(2), error: text + " InvalidOperationException: stream failed" }, "with detailed errors");
  equal(await plain.collect("CountThenFail", 0), { items: [], error: text }, "an error before the first item");
});

scenario("stream.cancel", async (t) => {
  const c = await t.open();
  const before = await c.invoke("Cancelled");
  const three = signal();
  const items = [];
  const subscription = c.hub.stream("Forever").subscribe({
    next: (i) => items.push(i) === 3 && three.resolve(),
    error: three.reject,
    complete: () => three.reject(new Error("Forever ended")),
  });
  await within(5000, three.promise, "three items of Forever");
  subscription.dispose();
  await eventually(() => c.invoke("Cancelled"), before + 1, "streams that saw their cancel");
  equal(items.slice(0, 3), [0, 1, 2], "items before the cancel");
});

scenario("stream.cancel-at-once", async (t) => {
  const c = await t.open();
  const before = await c.invoke("Cancelled");
  for (const s of upTo(20).map(() => c.hub.stream("Forever").subscribe({ next() {}, error() {}, complete() {} }))) s.dispose();
  await eventually(() => c.invoke("Cancelled"), before + 20, "streams that saw their cancel");
});

scenario("stream.ends-with-its-connection", async (t) => {
  const watcher = await t.open({ name: "watcher" });
  const before = await watcher.invoke("Cancelled");
  const c = await t.open();
  const ends = upTo(3).map(() => gather(c.hub.stream("Forever")));
  await eventually(() => c.invoke("EchoInt", 1), 1, "a call beside streams");
  await c.hub.stop();
  for (const { error } of await Promise.all(ends)) equal(error, "Invocation canceled due to the underlying connection being closed.", "a stream whose connection ended");
  await eventually(() => watcher.invoke("Cancelled"), before + 3, "streams that saw the end of their connection");
});

scenario("stream.many-beside-calls", async (t) => {
  const c = await t.open();
  const streams = upTo(20).map((i) => c.collect("CountSlowly", 10, 5 + i));
  for (const i of upTo(20)) equal(await c.invoke("EchoInt", i), i, "a call beside twenty streams");
  for (const s of await Promise.all(streams)) equal(s, { items: upTo(10), error: null }, "one stream of twenty");
});

scenario("stream.back-pressure", async (t) => {
  // More than any queue holds, to a client that takes its time: nothing is lost.
  const c = await t.open();
  const { items, error } = await within(20000, c.collect("Count", 20000), "20,000 items");
  equal(error, null, "end of the stream");
  truly(items.length === 20000 && items.every((v, i) => v === i), `items 0 … 19999 in order, got ${items.length}`);
});
