import { scenario, equal, fails, signal } from "./kit.mjs";

const threw = (name) => `An unexpected error occurred invoking '${name}' on the server.`;

scenario("result.ask", async (t) => {
  const c = await t.open({ on: { Answer: (q) => `answer to ${q}` } });
  equal(await c.invoke("Ask", "x"), "answer to x", "Ask");
  equal(await c.invoke("AskVoid"), "answer to void", "AskVoid");
});

scenario("result.later", async (t) => {
  const c = await t.open({ on: { Answer: async (q) => (await new Promise((r) => setTimeout(r, 50)), q + "!") } });
  equal(await c.invoke("Ask", "x"), "x!", "an answer that takes its time");
});

scenario("result.empty", async (t) => {
  const c = await t.open({ on: { Answer: () => "" } });
  equal(await c.invoke("Ask", "x"), "", "an empty answer is an answer");
});

scenario("result.null", async (t) => {
  const c = await t.open({ on: { Answer: () => null } });
  equal(await c.invoke("Ask", "x"), null, "null is an answer");
});

scenario("result.fails", async (t) => {
  const c = await t.open({ on: { Answer: () => { throw new Error("no idea"); } } });
  equal(await fails(c.invoke("Ask", "x"), "Ask"), threw("Ask") + " HubException: Error: no idea", "an error in the client");
});

scenario("result.no-handler", async (t) => {
  const c = await t.open();
  equal(await fails(c.invoke("Ask", "x"), "Ask"), threw("Ask") + " HubException: Client didn't provide a result.", "a client without a handler");
});

scenario("result.calls-beside-a-question", async (t) => {
  // A question frees the slot of its call, or the answer could not be read.
  const asked = signal(), answer = signal();
  const c = await t.open({ on: { Answer: () => (asked.resolve(), answer.promise) } });
  const result = c.invoke("Ask", "x");
  await asked.promise;
  equal(await c.invoke("EchoString", "meanwhile"), "meanwhile", "a call while a question is open");
  answer.resolve("done");
  equal(await result, "done", "Ask");
});

scenario("result.of-another", async (t) => {
  const a = await t.open({ name: "a" });
  const b = await t.open({ name: "b", on: { Answer: (q) => `b says ${q}` } });
  equal(await a.invoke("AskClient", await b.id(), "hi"), "b says hi", "AskClient");
  equal(await fails(a.invoke("AskClient", "nobody", "hi"), "AskClient"), threw("AskClient"), "an unknown connection");
});

scenario("result.other-leaves", async (t) => {
  const asked = signal();
  const a = await t.open({ name: "a" });
  const b = await t.open({ name: "b", on: { Answer: () => (asked.resolve(), new Promise(() => {})) } });
  const answer = fails(a.invoke("AskClient", await b.id(), "hi"), "AskClient");
  await asked.promise;
  await b.hub.stop();
  equal(await answer, threw("AskClient"), "a question to a connection that left");
});
