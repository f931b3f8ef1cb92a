"""The Python peer that the JavaScript suite talks to; prints one line when ready, ends with its standard input.

    python companion.py --route ws://127.0.0.1:8080/ws --serializer msgpack
"""

import argparse
import asyncio
import json
import sys

from autobahn.wamp.types import PublishOptions, RegisterOptions

from peer import join


def describe(value):
    """What arrived, in words that are the same in every serializer."""
    if isinstance(value, bytes):
        return f"bytes {value.hex()}"
    return f"{type(value).__name__} {json.dumps(value, sort_keys=True)}"


async def attend(route, serializer):
    peer = await join(route, serializer)

    async def call_back(procedure, *args):
        return await peer.call(procedure, *args)

    async def count(to, details):
        for number in range(to):
            details.progress(number)
        return to

    async def publish(topic, *args):
        publication = await peer.publish(topic, *args, options=PublishOptions(acknowledge=True))
        return publication.id

    async def relay(topic, *args, **kwargs):
        peer.publish(topic, *args, **kwargs)

    await peer.register(lambda *args: args[0], "com.companion.echo")
    await peer.register(lambda *args: [describe(value) for value in args], "com.companion.describe")
    await peer.register(lambda: [b"\x00\x01\xfe\xff", "\N{SNOWMAN}", 2**53 - 1, -1, 0.5], "com.companion.samples")
    await peer.register(call_back, "com.companion.call_back")
    await peer.register(publish, "com.companion.publish")
    await peer.register(count, "com.companion.count", RegisterOptions(details_arg="details"))
    await peer.subscribe(relay, "com.companion.relay")
    print(json.dumps({"ready": serializer}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await peer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--route", required=True)
    parser.add_argument("--serializer", required=True)
    arguments = parser.parse_args()
    asyncio.run(attend(arguments.route, arguments.serializer))
