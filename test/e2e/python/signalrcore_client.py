"""What signalrcore can do, against the hub of test/conformance.

python signalrcore_client.py URL HARNESS TRANSPORT PROTOCOL [ONLY]
"""

import logging
import os
import queue
import sys
import urllib.request
import uuid

from kit import Skip, equal, run_all, scenario, take, token
from signalrcore.hub.handlers import StreamHandler
from signalrcore.hub_connection_builder import HubConnectionBuilder
from signalrcore.messages.stream_invocation_message import StreamInvocationMessage
from signalrcore.protocol.messagepack_protocol import MessagePackHubProtocol
from signalrcore.subject import Subject
from signalrcore.types import HttpTransportType

base, harness, transport, protocol = sys.argv[1:5]


def one_message_a_poll():
    if transport == "LongPolling":
        raise Skip("the client takes one message out of each answer, and waits for the next one with the rest")


class Client:
    """A connection whose callbacks fill queues."""

    def __init__(self, path="/conformance", at=base, options=None, reconnect=None):
        builder = HubConnectionBuilder().with_url(at + path, options={"transport": HttpTransportType(transport), **(options or {})})
        builder.configure_logging(logging.CRITICAL)
        if protocol == "msgpack":
            builder.with_hub_protocol(MessagePackHubProtocol())
        if reconnect:
            builder.with_automatic_reconnect(reconnect)
        self.hub = builder.build()
        self.open, self.closed, self.back, self.errors = queue.Queue(), queue.Queue(), queue.Queue(), queue.Queue()
        self.received, self.many = queue.Queue(), queue.Queue()
        self.hub.on_open(lambda: self.open.put(True))
        self.hub.on_close(lambda: self.closed.put(True))
        self.hub.on_reconnect(lambda: self.back.put(True))
        self.hub.on_error(lambda m: self.errors.put(m.error))
        self.hub.on("Receive", lambda args: self.received.put(args[0]))
        self.hub.on("Many", self.many.put)

    def start(self):
        self.hub.start()
        take(self.open)
        return self

    def call(self, method, *args):
        answer = queue.Queue()
        self.hub.send(method, list(args), lambda m: answer.put(m.result))
        return take(answer)

    def fail(self, method, *args):
        self.hub.send(method, list(args), lambda _: None)
        return take(self.errors)

    def stream(self, method, *args):
        # As hub.stream does, which sends before anybody can subscribe.
        items, end = [], queue.Queue()
        handler = StreamHandler(method, str(uuid.uuid4()))
        handler.subscribe({"next": items.append, "complete": lambda _: end.put(None), "error": end.put})
        self.hub.stream_handlers[handler.invocation_id].append(handler)
        self.hub.transport.send(StreamInvocationMessage(handler.invocation_id, method, list(args), headers={}))
        take(end)
        return items


def dial(path="/conformance", **more):
    return Client(path, **more).start()


@scenario
def values():
    c = dial()
    for s in ("", "plain", "é ü \u2028 😀", "<>&\"'\\"):
        equal(c.call("EchoString", s), s)
    for n in (0, -1, 2**31 - 1):
        equal(c.call("EchoInt", n), n)
    equal(c.call("EchoLong", -(2**63)), -(2**63))
    equal(c.call("EchoDouble", 0.1), 0.1)
    equal(c.call("EchoBool", True), True)
    equal(c.call("EchoNullable", None), None)
    equal(c.call("Join3", "a", 1, True), "a|1|True")
    equal(c.call("EchoMap", {"a": 1, "ü": 2}), {"a": 1, "ü": 2})
    person = {"name": "Ada", "age": 36, "tags": ["x", "y"], "nick": None}
    if protocol == "msgpack":
        person = {"Name": "Ada", "Age": 36, "Tags": ["x", "y"], "Nick": None}
        equal(c.call("EchoBytes", b"\x00\xff"), b"\x00\xff")
    equal(c.call("EchoPerson", person), person)


@scenario
def errors():
    c = dial()
    equal(c.fail("Fail", "secret"), "An unexpected error occurred invoking 'Fail' on the server.")
    equal(c.fail("FailHub", "m"), "An unexpected error occurred invoking 'FailHub' on the server. HubException: m")
    equal(c.fail("Unknown"), "Failed to invoke 'Unknown' due to an error on the server. HubException: Method does not exist.")
    equal(c.call("EchoInt", 1), 1)


@scenario
def sends():
    one_message_a_poll()
    c = dial()
    equal(c.call("ToCaller", "1"), None)
    equal(take(c.received), "1")
    d = dial("/conformance?user=bob")
    c.call("ToUser", "bob", "2")
    equal(take(d.received), "2")
    c.call("ToOthers", "3")
    equal(take(d.received), "3")
    d.call("ToOthers", "4")
    equal(take(c.received), "4")


@scenario
def groups():
    one_message_a_poll()
    c, d = dial(), dial()
    d.call("AddTo", "room")
    c.call("ToGroup", "room", "1")
    equal(take(d.received), "1")
    d.call("RemoveFrom", "room")
    c.call("ToGroup", "room", "2")
    c.call("ToOthers", "3")
    equal(take(d.received), "3")


@scenario
def many_messages():
    one_message_a_poll()
    c = dial()
    c.call("ToCallerMany", 200)
    for i in range(200):
        equal(take(c.received), str(i))
    c.call("ToCallerArgs")
    got = take(c.many)
    equal(got[:4], ["a", 1, True, None])
    equal({k.lower(): v for k, v in got[4].items()}, {"name": "Ada", "age": 36, "tags": ["x", "y"], "nick": None})


@scenario
def streams():
    one_message_a_poll()
    c = dial()
    equal(c.stream("Count", 50), list(range(50)))
    equal(c.stream("EmptyStream"), [])
    c.hub.stream("CountThenFailHub", [1]).subscribe({"next": lambda _: None, "complete": lambda _: None, "error": lambda _: None})
    equal(take(c.errors), "An error occurred on the server while streaming results. HubException: stream failed")


@scenario
def uploads():
    one_message_a_poll()
    if protocol == "msgpack":
        raise Skip("the client leaves ids out of what it writes, which ends the connection")
    c = dial()
    numbers = Subject()
    c.hub.send("Sum", numbers)  # the client asks for no result
    for i in range(20):
        numbers.next(i)
    numbers.complete()
    equal(c.call("EchoInt", 7), 7)


@scenario
def tokens():
    if transport == "LongPolling":
        raise Skip("the client polls without its token")
    c = dial("/authorized", options={"access_token_factory": lambda: token("ann")})
    equal(c.call("UserId"), "ann")
    try:
        dial("/authorized")
    except Exception as e:
        if "401" not in str(e) and "UnAuthorized" not in type(e).__name__:
            raise
    else:
        raise AssertionError("let in without a token")


@scenario
def stop_and_start():
    # On /quick: the client does not end before something comes, such as a ping.
    c = dial("/quick")
    c.call("EchoInt", 1)
    c.hub.stop()
    take(c.closed)
    equal(dial("/quick").call("EchoInt", 2), 2)


@scenario
def without_negotiation():
    if transport != "WebSockets":
        raise Skip("that is of WebSockets")
    c = dial(options={"skip_negotiation": True})
    equal(c.call("EchoString", "x"), "x")


@scenario
def reconnect():
    if transport != "WebSockets":
        raise Skip("the client comes back over WebSockets alone")
    c = dial(at=harness, reconnect={"type": "raw", "keep_alive_interval": 10, "reconnect_interval": 1, "max_attempts": 10})
    first = c.call("ConnectionId")
    urllib.request.urlopen(urllib.request.Request(harness + "/cut", method="POST"))
    take(c.back)
    if c.call("ConnectionId") == first:
        raise AssertionError("the same connection id")
    c.call("ToCaller", "again")
    equal(take(c.received), "again")


run_all(sys.argv[5] if len(sys.argv) > 5 else "", lambda s: s())
os._exit(0)  # connections stay until now: to stop one takes the client up to 15 s
