"""Every route and serializer with every other: the same values arrive, whoever sent them."""

import math
import uuid
from decimal import Decimal

from peer import Inbox

# What the WAMP types can say; each travels as event, as argument and as result.
VALUES = {
    "unicode": ["", "plain", "äöü", "\N{SNOWMAN} \N{PILE OF POO}", "\"quoted\" \\ \n\t\x01", "a\u2028b"],
    "integers": [0, -1, 127, 128, 255, 256, 65535, 65536, 2**31, 2**32, 2**53 + 1, -(2**53) - 1, 2**63 - 1],
    "widest integers": [2**64 - 1, -(2**63)],
    "floats": [0.0, -0.0, 0.1, 1.0, -1.5, 1e300, 5e-324, math.pi, 1e16],
    "constants": [None, True, False],
    "binary": [b"", b"\x00\x01\xfe\xff", bytes(range(256))],
    "nested": [[], {}, [[[[]]]], {"a": {"b": [1, {"c": None, "d": b"\x00"}]}}, {"": "empty key", "ä": 1}],
    "wide": [list(range(1000)), {f"key{number}": number for number in range(300)}],
}


def same(a, b):
    """Equality that tells 1 from 1.0 and from True, and 0.0 from -0.0."""
    if isinstance(b, Decimal):
        # The UBJSON package writes the smallest floats as decimals, and reads them and the widest integers as such.
        b = int(b) if isinstance(a, int) else float(b)
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b and (not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b))


def difference(sent, received):
    for one, other in zip(sent, received):
        if not same(one, other):
            return f"sent {shown(one)}, received {shown(other)}"
    return None if len(sent) == len(received) else f"sent {len(sent)} values, received {len(received)}"


def shown(value):
    text = f"{type(value).__name__} {value!r}"
    return text if len(text) < 80 else text[:77] + "..."


def unique(name):
    return f"com.across.r{uuid.uuid4().hex[:12]}.{name}"


async def events_mean_the_same(publisher, subscriber):
    topic, inbox = unique("topic"), Inbox()
    subscription = await subscriber.subscribe(inbox.handler, topic)
    for name, values in VALUES.items():
        publisher.publish(topic, *values, keyword=values)
        args, kwargs, _ = await inbox.next()
        fault = difference(values, args) or difference(values, kwargs["keyword"])
        assert fault is None, f"{name}: {fault}"
    await subscription.unsubscribe()


async def calls_mean_the_same(caller, callee):
    procedure = unique("echo")
    arrived = []

    def echo(*args, keyword):
        arrived.append((args, keyword))
        return args

    registration = await callee.register(echo, procedure)
    for name, values in VALUES.items():
        result = await caller.call(procedure, *values, keyword=values)
        args, keyword = arrived.pop()
        fault = difference(values, args) or difference(values, keyword) or difference(values, result)
        assert fault is None, f"{name}: {fault}"
    await registration.unregister()


async def one_topic_for_all(peers):
    """One publication reaches subscribers of every kind; each of them publishes once."""
    topic = unique("topic")
    inboxes = [Inbox() for _ in peers]
    for peer, inbox in zip(peers, inboxes):
        await peer.subscribe(inbox.handler, topic)
    for index, publisher in enumerate(peers):
        publisher.publish(topic, index, blob=b"\x00\xff", text="\N{SNOWMAN}")
        for other, inbox in enumerate(inboxes):
            if other != index:
                args, kwargs, _ = await inbox.next()
                assert (args, kwargs) == ([index], {"blob": b"\x00\xff", "text": "\N{SNOWMAN}"}), (index, other)


CHECKS = [events_mean_the_same, calls_mean_the_same]
