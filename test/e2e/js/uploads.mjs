import { scenario, equal, fails, gather, within } from "./kit.mjs";

// An upload of the given items; a last item that is an Error ends it with that.
function upload(t, items) {
  const subject = new t.env.signalR.Subject();
  // The client starts to listen when the call is sent, so the items come after it.
  const go = () => {
    for (const i of items) i instanceof Error ? subject.error(i) : subject.next(i);
    if (!(items.at(-1) instanceof Error)) subject.complete();
  };
  return { subject, go };
}
function send(t, c, method, items) {
  const { subject, go } = upload(t, items);
  const answer = c.invoke(method, subject);
  go();
  return answer;
}

scenario("upload.sum", async (t) => {
  const c = await t.open();
  equal(await send(t, c, "Sum", []), 0, "sum of nothing");
  equal(await send(t, c, "Sum", [1, 2, 3]), 6, "sum of three");
  equal(await send(t, c, "Sum", Array.from({ length: 2000 }, () => 1)), 2000, "sum of two thousand ones");
});

scenario("upload.concat", async (t) => {
  const c = await t.open();
  equal(await send(t, c, "Concat", ["a", "", "ä", "\u{1f600}"]), "aä\u{1f600}", "Concat");
});

scenario("upload.two-in-one-call", async (t) => {
  const c = await t.open();
  const a = upload(t, [1, 2, 3]), b = upload(t, ["x", "y"]);
  const answer = c.invoke("Mixed", "pre", a.subject, "post", b.subject);
  b.go();
  a.go();
  equal(await answer, "pre:6:xy:post", "Mixed");
});

scenario("upload.two-unequal", async (t) => {
  // The second stream fills long before the first one ends.
  const c = await t.open();
  const a = upload(t, [1]), b = upload(t, Array.from({ length: 200 }, () => "x"));
  const answer = c.invoke("Mixed", "", a.subject, "", b.subject);
  b.go();
  a.go();
  equal(await answer, `:1:${"x".repeat(200)}:`, "Mixed");
});

scenario("upload.take-two", async (t) => {
  const c = await t.open();
  const { subject } = upload(t, []);
  const answer = c.invoke("TakeTwo", subject);
  for (let i = 1; i <= 8; i++) subject.next(i);
  equal(await answer, 3, "TakeTwo of eight");
  for (let i = 9; i <= 60; i++) subject.next(i);
  subject.complete();
  equal(await c.invoke("EchoString", "ok"), "ok", "items that nobody reads any more are dropped");
});

scenario("upload.mirror", async (t) => {
  const c = await t.open();
  const { subject, go } = upload(t, [1, 2, 3]);
  const answer = gather(c.hub.stream("Mirror", subject));
  go();
  equal(await answer, { items: [2, 4, 6], error: null }, "Mirror");
});

scenario("upload.fails", async (t) => {
  const c = await t.open();
  equal(await send(t, c, "UploadErrors", [1, new Error("Something bad")]), "Something bad", "the error at the hub");
  equal(await send(t, c, "UploadErrors", [1, 2]), "none", "no error");
  equal(await fails(send(t, c, "Sum", [1, new Error("Something bad")]), "Sum of a broken upload"),
    "An unexpected error occurred invoking 'Sum' on the server. HubException: Something bad", "the error through the method");
});

scenario("upload.wrong-item", async (t) => {
  const c = await t.open();
  equal(await send(t, c, "UploadErrors", [1, "two"]), "Failed to bind Stream message.", "the error at the hub");
  equal(await c.invoke("EchoString", "ok"), "ok", "the connection lives on");
});

scenario("upload.beside-calls", async (t) => {
  // An upload under way takes no slot: calls go on beside it.
  const c = await t.open();
  const subject = new t.env.signalR.Subject();
  const sum = c.invoke("Sum", subject);
  for (let i = 1; i <= 20; i++) {
    subject.next(i);
    equal(await within(5000, c.invoke("EchoInt", i), "a call beside an upload"), i, "a call beside an upload");
  }
  subject.complete();
  equal(await sum, 210, "Sum");
});
