"""What the scenarios of both Python clients share: how they run, and tokens.

Each scenario is reported as one line of JSON; python_test.go reads them.
"""

import base64
import hashlib
import hmac
import json
import queue
import re
import sys
import time
import traceback

WAIT = 20  # seconds, for anything

scenarios = []


def scenario(function):
    """Puts a function into the list; its name is the scenario's."""
    scenarios.append(function)
    return function


class Skip(Exception):
    """Says why a scenario cannot be run."""


def run_all(only, call):
    """Runs the scenarios whose names match, each by call."""
    for s in scenarios:
        name = s.__name__.replace("_", " ")
        if only and not re.search(only, name):
            continue
        report = {"name": name}
        began = time.monotonic()
        try:
            call(s)
            report["ok"] = True
        except Skip as why:
            report["skip"] = str(why)
        except BaseException as e:  # whatever it is, it is this scenario's
            report["ok"] = False
            report["error"] = f"{type(e).__name__}: {e}\n" + "".join(traceback.format_tb(e.__traceback__)[-3:])
        report["ms"] = int((time.monotonic() - began) * 1000)
        say(report)
    say({"done": True})


def say(report):
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def equal(got, want):
    if got != want:
        raise AssertionError(f"got {got!r}, want {want!r}")


def take(q):
    """The next thing in a queue."""
    try:
        return q.get(timeout=WAIT)
    except queue.Empty:
        raise AssertionError("nothing came") from None


def token(user, seconds=60):
    def part(b):
        return base64.urlsafe_b64encode(b).rstrip(b"=")

    claims = {"sub": user, "iss": "conformance", "aud": "conformance", "exp": int(time.time()) + seconds}
    body = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    key = b"conformance-key-of-at-least-32-bytes!"
    return (body + b"." + part(hmac.new(key, body, hashlib.sha256).digest())).decode()
