"""Two generations of Autobahn|Python at one router: what they both call `ubjson` is BJData in the later and UBJSON, draft 12,
in the earlier one. The earlier attends, the later asks; prints one JSON line when ready, then one per check.

    python generations.py --attend --route ws://127.0.0.1:8080/ws --route unix:/draft12.sock
    python generations.py --route ws://127.0.0.1:8080/ws --route tcp://127.0.0.1:8081 --earlier ws://127.0.0.1:8080/ws ...
"""

import argparse
import asyncio
import json
import sys

import autobahn
from across import VALUES, difference
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallResult
from peer import Inbox, Report, join
from suite import kind

SERIALIZERS = ["ubjson", "json", "msgpack"]


def kinds(routes):
    plain = [(route, serializer) for route in routes for serializer in SERIALIZERS]
    return plain + [(route, "ubjson.batched") for route in routes if route.startswith("ws")]


def judge(name, args, keyword):
    fault = difference(VALUES[name], args) or difference(VALUES[name], keyword)
    if fault is not None:
        raise ApplicationError("com.generations.differs", f"{name}: {fault}")


async def attend(routes):
    peers = [await join(*kind) for kind in kinds(routes)]
    for index, peer in enumerate(peers):
        await attend_as(peer, index)
    print(json.dumps({"ready": autobahn.__version__}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await asyncio.gather(*(peer.close() for peer in peers))


async def attend_as(peer, index):
    def echo(name, *args, keyword):
        judge(name, args, keyword)
        return CallResult(*args, keyword=list(keyword))

    def relay(name, *args, keyword):
        try:
            judge(name, args, keyword)
        except ApplicationError as error:
            args = error.args
        peer.publish(f"com.generations.back.{index}", *args, keyword=list(keyword))

    await peer.register(echo, f"com.generations.echo.{index}")
    await peer.subscribe(relay, f"com.generations.relay.{index}")


async def calls_mean_the_same(peer, index):
    for name, values in VALUES.items():
        result = await peer.call(f"com.generations.echo.{index}", name, *values, keyword=values)
        fault = difference(values, result.results) or difference(values, result.kwresults["keyword"])
        assert fault is None, f"{name}: {fault}"


async def events_mean_the_same(peer, index):
    inbox = Inbox()
    subscription = await peer.subscribe(inbox.handler, f"com.generations.back.{index}")
    for name, values in VALUES.items():
        peer.publish(f"com.generations.relay.{index}", name, *values, keyword=values)
        args, kwargs, _ = await inbox.next()
        fault = difference(values, args) or difference(values, kwargs["keyword"])
        assert fault is None, f"{name}: {fault}"
    await subscription.unsubscribe()


async def ask(routes, earlier):
    report = Report({})
    for asking in kinds(routes):
        peer = await join(*asking)
        for index, asked in enumerate(kinds(earlier)):
            for check in [calls_mean_the_same, events_mean_the_same]:
                labels = {"later": kind(*asking), "earlier": kind(*asked)}
                await report.run(check.__name__, check(peer, index), **labels)
        await peer.close()
    report.exit()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attend", action="store_true")
    parser.add_argument("--router")
    parser.add_argument("--route", action="append", required=True)
    parser.add_argument("--earlier", action="append", default=[])
    arguments = parser.parse_args()
    asyncio.run(attend(arguments.route) if arguments.attend else ask(arguments.route, arguments.earlier))
