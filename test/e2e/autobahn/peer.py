"""A strict foreign client: python3-autobahn (Debian) runs cases against an echo server.

    peer.py ws://127.0.0.1:PORT/ CASES.json

CASES.json is what autobahn_test.go writes. autobahn builds the frames, wrong
ones too, and judges what comes back: a server's frame that is masked, fragmented
in the wrong place, reserved or no UTF-8 fails the case, and so does a connection
that the server does not close. For each case a line of JSON is printed:
{"name": ..., "fault": null or what is wrong}.
"""

import asyncio
import json
import sys

from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Peer(WebSocketClientProtocol):
    """One connection; self.case drives it."""

    def onConnect(self, response):
        self.events = asyncio.Queue()
        self.end = asyncio.get_running_loop().create_future()

    def onOpen(self):
        self.task = asyncio.ensure_future(self.drive())

    async def drive(self):
        fault = None
        try:
            await asyncio.wait_for(self.factory.case(self), 60)
            if not self.events.empty():
                fault = "more than was asked for: %r" % (self.events.get_nowait(),)
        except asyncio.TimeoutError:
            fault = "no end within 60 s"
        except Exception as e:
            fault = "%s: %s" % (type(e).__name__, e)
        if fault:
            self.dropConnection(abort=True)
        self.factory.done.set_result(fault)

    def onMessage(self, payload, isBinary):
        self.events.put_nowait((BINARY if isBinary else TEXT, bytes(payload)))

    def onPong(self, payload):
        self.events.put_nowait((PONG, bytes(payload)))

    def onClose(self, wasClean, code, reason):
        if hasattr(self, "end") and not self.end.done():
            self.events.put_nowait(None)
            self.end.set_result((wasClean, code, reason))
        elif not self.factory.done.done():
            self.factory.done.set_result("no WebSocket: %s" % reason)

    async def want(self, op, payload):
        got = await self.events.get()
        if got != (op, payload):
            raise ValueError("got %.100r, want %.100r" % (got, (op, payload)))

    async def wantEnd(self, code):
        """Nothing else comes; the closing handshake is complete; the server closes TCP first."""
        got = await self.events.get()
        if got is not None:
            raise ValueError("got %.100r, want the end" % (got,))
        clean, got, reason = await self.end
        if not clean or got != code or reason:
            raise ValueError("closed with %r %r, clean is %r, want %r" % (got, reason, clean, code))


def frames(case, chop):
    """The course of one case of the table."""

    async def drive(p):
        for step in case["steps"]:
            for first, payload in step["send"]:
                p.sendFrame(first & 15, bytes.fromhex(payload), bool(first & 0x80), first >> 4 & 7, chopsize=chop)
            if step["raw"]:
                p.sendData(bytes.fromhex(step["raw"]), chopsize=chop)
            for first, payload in step["want"]:
                await p.want(first & 15, bytes.fromhex(payload))
        if not case["code"]:
            p.sendClose(1000)
        await p.wantEnd(case["code"] or 1000)

    return drive


# What the library does by itself, beyond single frames.


def message(size, binary, fragment=None, chop=None):
    async def drive(p):
        payload = b"\xfe" * size if binary else ("\u00fc*" * (size // 3 + 1)).encode()
        p.sendMessage(payload, isBinary=binary, fragmentSize=fragment)
        await p.want(BINARY if binary else TEXT, payload)
        p.sendClose(1000, "done")
        await p.wantEnd(1000)

    return drive


async def streamed(p):
    """A message whose frames are begun before their payload is there, a ping between."""
    p.beginMessage(isBinary=True)
    p.beginMessageFrame(100_000)
    for i in range(100):
        p.sendMessageFrameData(bytes([i]) * 1000)
        await asyncio.sleep(0)
    p.sendPing(b"between")
    await p.want(PONG, b"between")
    p.sendMessageFrame(b"tail")
    p.endMessage()
    await p.want(BINARY, b"".join(bytes([i]) * 1000 for i in range(100)) + b"tail")
    p.sendClose(4999, "x" * 123)
    await p.wantEnd(1000)


async def many(p):
    """A thousand messages at once, and a thousand one after the other."""
    for i in range(1000):
        p.sendMessage(b"%d" % i)
    for i in range(1000):
        await p.want(TEXT, b"%d" % i)
    for i in range(1000):
        p.sendMessage(b"%d" % i, isBinary=True)
        await p.want(BINARY, b"%d" % i)
    p.sendClose()
    await p.wantEnd(1000)


OWN = {
    "text of 1 MiB": message(1 << 20, False),
    "binary of 16 MiB": message(16 << 20, True),
    "text of 4 MiB in fragments of 64 KiB": message(4 << 20, False, 65536),
    "text of 1 MiB in fragments of 1001 bytes": message(1 << 20, False, 1001),
    "text of 64 KiB in fragments of 7 bytes": message(1 << 16, False, 7),
    "binary of 300 kB in fragments of 125 bytes": message(300_000, True, 125),
    "streamed frames": streamed,
    "a thousand messages": many,
}


async def run(url, name, case):
    factory = WebSocketClientFactory(url)
    # The server is to complete the closing handshake and to close TCP first. The
    # times are long, since this process is slow with large messages.
    factory.setProtocolOptions(
        failByDrop=False,
        utf8validateIncoming=True,
        openHandshakeTimeout=30,
        closeHandshakeTimeout=30,
        serverConnectionDropTimeout=30,
    )
    factory.protocol = Peer
    factory.case = case
    factory.done = asyncio.get_running_loop().create_future()
    await asyncio.get_running_loop().create_connection(factory, factory.host, factory.port)
    print(json.dumps({"name": name, "fault": await factory.done}), flush=True)


async def main(url, path):
    with open(path) as f:
        table = json.load(f)
    few = asyncio.Semaphore(16)

    async def one(name, case):
        async with few:
            await run(url, name, case)

    jobs = []
    for case in table:
        jobs.append(one(case["name"], frames(case, None)))
        if sum(len(p) for s in case["steps"] for _, p in s["send"]) < 1000:
            jobs.append(one(case["name"] + ", in bytes", frames(case, 1)))
    await asyncio.gather(*jobs)
    for name, case in OWN.items():
        await run(url, name, case)


asyncio.run(main(sys.argv[1], sys.argv[2]))
