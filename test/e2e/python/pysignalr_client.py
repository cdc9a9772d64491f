"""What pysignalr can do, against the hub of test/conformance.

python pysignalr_client.py URL HARNESS TRANSPORT PROTOCOL [ONLY]

It has WebSockets alone, and negotiates in version 0.
"""

import asyncio
import contextlib
import os
import sys

from kit import WAIT, equal, run_all, scenario, token
from pysignalr.client import SignalRClient
from pysignalr.protocol.json import JSONProtocol
from pysignalr.protocol.messagepack import MessagepackProtocol

base, _, _, protocol = sys.argv[1:5]


class Client:
    """A connection whose callbacks fill queues."""

    def __init__(self, path="/conformance", headers=None):
        self.hub = SignalRClient(base + path, protocol=MessagepackProtocol() if protocol == "msgpack" else JSONProtocol(), headers=headers)
        self.opened = asyncio.Event()
        self.received, self.errors = asyncio.Queue(), asyncio.Queue()

        async def opened():
            self.opened.set()

        async def received(args):
            await self.received.put(args[0])

        async def failed(m):
            await self.errors.put(m.error)

        self.hub.on_open(opened)
        self.hub.on_error(failed)
        self.hub.on("Receive", received)

    async def call(self, method, *args):
        answer = asyncio.get_running_loop().create_future()

        async def done(m):
            if not answer.done():
                answer.set_result(m)

        await self.hub.send(method, list(args), done)
        m = await asyncio.wait_for(answer, WAIT)
        return m.result if not m.error else m.error

    async def stream(self, method, *args):
        items, end = [], asyncio.get_running_loop().create_future()

        async def item(v):
            items.append(v)

        async def done(_):
            end.set_result(None)

        async def failed(m):
            end.set_result(m.error)

        await self.hub.stream(method, list(args), item, done, failed)
        return items, await asyncio.wait_for(end, WAIT)


@contextlib.asynccontextmanager
async def dial(path="/conformance", headers=None, prepare=None):
    c = Client(path, headers)
    if prepare:
        prepare(c)
    task = asyncio.create_task(c.hub.run())
    opening = asyncio.create_task(c.opened.wait())
    done, _ = await asyncio.wait({task, opening}, timeout=WAIT, return_when=asyncio.FIRST_COMPLETED)
    try:
        if task in done:
            task.result()
        if not done:
            raise AssertionError("start does not end")
        yield c
    finally:
        for t in (task, opening):
            t.cancel()
        await asyncio.gather(task, opening, return_exceptions=True)


async def take(q):
    return await asyncio.wait_for(q.get(), WAIT)


@scenario
async def values():
    async with dial() as c:
        for s in ("", "plain", "é ü \u2028 😀", "<>&\"'\\"):
            equal(await c.call("EchoString", s), s)
        equal(await c.call("EchoInt", -5), -5)
        equal(await c.call("EchoLong", 2**63 - 1), 2**63 - 1)
        equal(await c.call("EchoDouble", 0.1), 0.1)
        equal(await c.call("EchoBool", False), False)
        equal(await c.call("EchoNullable", None), None)
        equal(await c.call("Join3", "a", 1, True), "a|1|True")
        equal(await c.call("EchoMap", {"a": 1}), {"a": 1})


@scenario
async def errors():
    async with dial() as c:
        equal(await c.call("Fail", "secret"), "An unexpected error occurred invoking 'Fail' on the server.")
        equal(await c.call("FailHub", "m"), "An unexpected error occurred invoking 'FailHub' on the server. HubException: m")
        equal(await c.call("EchoInt", 1), 1)


@scenario
async def sends_and_groups():
    async with dial() as c, dial("/conformance?user=bob") as d:
        await c.hub.send("ToCaller", ["1"])
        equal(await take(c.received), "1")
        await c.call("ToUser", "bob", "2")
        equal(await take(d.received), "2")
        await d.call("AddTo", "room")
        await c.call("ToGroup", "room", "3")
        equal(await take(d.received), "3")
        await d.call("RemoveFrom", "room")
        await c.call("ToGroup", "room", "4")
        await c.call("ToCallerMany", 100)
        for i in range(100):
            equal(await take(c.received), str(i))
        await c.call("ToOthers", "5")
        equal(await take(d.received), "5")


@scenario
async def streams():
    async with dial() as c:
        equal(await c.stream("Count", 50), (list(range(50)), None))
        equal(await c.stream("CountThenFailHub", 2), ([0, 1], "An error occurred on the server while streaming results. HubException: stream failed"))


@scenario
async def uploads():
    async with dial() as c:
        async with c.hub.client_stream("Sum") as numbers:  # the client asks for no result
            for i in range(20):
                await numbers.send(i)
        equal(await c.call("EchoInt", 7), 7)


@scenario
async def client_results():
    def prepare(c):
        async def answer(args):
            return "to " + args[0]

        c.hub.on("Answer", answer)

    async with dial(prepare=prepare) as c, dial() as d:
        me = await d.call("ConnectionId")
        other = await c.call("ConnectionId")
        equal(await d.call("AskClient", other, "y"), "to y")
        equal(await c.call("AskClient", me, "z"), "An unexpected error occurred invoking 'AskClient' on the server. HubException: Client didn't provide a result.")


@scenario
async def tokens():
    async with dial("/authorized", headers={"Authorization": "Bearer " + token("ann")}) as c:
        equal(await c.call("UserId"), "ann")
    try:
        async with dial("/authorized"):
            raise AssertionError("let in without a token")
    except Exception as e:
        if type(e).__name__ != "AuthorizationError":
            raise


@scenario
async def protocol_that_is_not_there():
    if protocol != "msgpack":
        async with dial("/json-only") as c:
            equal(await c.call("EchoInt", 1), 1)
        return
    try:
        async with dial("/json-only"):
            raise AssertionError("let in")
    except ValueError as e:
        equal(str(e), "Handshake error: The protocol 'messagepack' is not supported.")


run_all(sys.argv[5] if len(sys.argv) > 5 else "", lambda s: asyncio.run(asyncio.wait_for(s(), 60)))
os._exit(0)
