"""Runs the checks over every given route and serializer; prints one JSON line per check.

    python suite.py --route ws://127.0.0.1:8080/ws --route tcp://127.0.0.1:8081 [--router crossbar]
"""

import argparse
import asyncio

import across
import advanced
import auth
import calls
import channel
import meta
import pubsub
import sessions
from peer import MixedStage, Report, Stage, join

RAWSOCKET_SERIALIZERS = ["json", "msgpack", "cbor", "ubjson", "flatbuffers"]
# Autobahn does not batch FlatBuffers.
WEBSOCKET_SERIALIZERS = RAWSOCKET_SERIALIZERS + ["json.batched", "msgpack.batched", "cbor.batched", "ubjson.batched"]

# Checks that another router is known to fail, each with the reason. Crossbar.io: 26.10.1.
DEVIATIONS = {
    "crossring": {},
    "crossbar": {
        "goodbye_is_answered": "answers GOODBYE with wamp.close.normal",
        "an_empty_eligible_list_excludes_everybody": "takes an empty list for an absent one",
        "each_failure_has_its_reason": "tells who exists, and has other words for the rest",
    },
}

# What Autobahn|Python 26.10 itself cannot do in FlatBuffers.
NO_HELLO_DETAILS = "Autobahn writes no authmethods, authextra and roles into HELLO"
NO_WELCOME_DETAILS = "Autobahn reads no roles and authmethod of WELCOME"
FLATBUFFERS_GAPS = {
    "welcome_says_who_we_are": NO_WELCOME_DETAILS,
    "welcome_announces_the_features": NO_WELCOME_DETAILS,
    "ticket_is_accepted": NO_HELLO_DETAILS,
    "wrong_ticket_is_refused": NO_HELLO_DETAILS,
    "unknown_principal_is_refused": NO_HELLO_DETAILS,
    "goodbye_is_answered": "Autobahn does not read the reason of GOODBYE",
    "eligible_and_exclude_lists_choose_receivers": "Autobahn writes these lists into the wrong fields",
    "an_empty_eligible_list_excludes_everybody": "Autobahn leaves empty lists out",
    "errors_carry_uri_and_payload": "Autobahn reads the keywords of ERROR where its arguments are",
    **{check.__name__: NO_HELLO_DETAILS for check in auth.CHECKS},
}


def serializers(route):
    return WEBSOCKET_SERIALIZERS if route.startswith(("ws:", "wss:")) else RAWSOCKET_SERIALIZERS


def kind(route, serializer):
    return f"{route.partition(':')[0]} {serializer}"


def needs_ticket(check):
    """The Unix socket of the test node admits anonymous sessions only."""
    return check in auth.CHECKS or any(
        word in check.__name__ for word in ("ticket", "principal", "lists_choose")
    )


async def on_stage(check, route, serializer):
    stage = Stage(route, serializer)
    try:
        await check(stage)
    finally:
        await stage.close()


async def check_mixed(report, routes):
    """The sessions of one check differ in route and serializer; each kind comes first once."""
    kinds = [
        (route, serializer) for route in routes for serializer in serializers(route) if serializer != "flatbuffers"
    ]
    for first in range(len(kinds)):
        # Neighbours in the list have much in common: step over some.
        order = [kinds[(first + 5 * step) % len(kinds)] for step in range(len(kinds))]
        for check in advanced.CHECKS + meta.CHECKS:
            await report.run(check.__name__, on_mixed_stage(check, order), first=kind(*order[0]))


async def on_mixed_stage(check, kinds):
    stage = MixedStage(kinds)
    try:
        await check(stage)
    finally:
        await stage.close()


async def check_each(report, routes):
    for route in routes:
        for serializer in serializers(route):
            await check_one(report, route, serializer)


async def check_one(report, route, serializer):
    secured = channel.CHECKS if route.startswith(("wss:", "tls:")) else []
    for check in sessions.CHECKS + auth.CHECKS + pubsub.CHECKS + calls.CHECKS + secured:
        if not (route.startswith("unix:") and needs_ticket(check)):
            labels = {"on": kind(route, serializer)}
            if serializer == "flatbuffers" and check.__name__ in FLATBUFFERS_GAPS:
                report.skip(check.__name__, FLATBUFFERS_GAPS[check.__name__], **labels)
            else:
                await report.run(check.__name__, on_stage(check, route, serializer), **labels)


async def check_across(report, routes):
    kinds = [(route, serializer) for route in routes for serializer in serializers(route)]
    senders = [await join(*kind) for kind in kinds]
    receivers = [await join(*kind) for kind in kinds]
    for sending, sender in zip(kinds, senders):
        for receiving, receiver in zip(kinds, receivers):
            labels = {"from": kind(*sending), "to": kind(*receiving)}
            for check in across.CHECKS:
                await report.run(check.__name__, check(sender, receiver), **labels)
    await report.run("one_topic_for_all", across.one_topic_for_all(senders), sessions=len(senders))
    await asyncio.gather(*(peer.close() for peer in senders + receivers))


PARTS = {"each": check_each, "across": check_across, "mixed": check_mixed}


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--route", action="append", required=True)
    parser.add_argument("--router", choices=DEVIATIONS, default="crossring")
    parser.add_argument("--part", choices=PARTS, required=True)
    arguments = parser.parse_args()
    report = Report(DEVIATIONS[arguments.router])
    await PARTS[arguments.part](report, arguments.route)
    report.exit()


if __name__ == "__main__":
    asyncio.run(main())
