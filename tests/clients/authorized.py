"""Sessions whose authorizer is another client, in a process of its own; prints one JSON line per check.

    python authorized.py --route ws://127.0.0.1:8080/ws --route tcp://127.0.0.1:8081
"""

import argparse
import asyncio
import os
import signal
import sys

from autobahn.wamp.types import PublishOptions, SubscribeOptions

from peer import PATIENCE_S, Inbox, MixedStage, Refusal, Report

ACKNOWLEDGED = PublishOptions(acknowledge=True)
DENIED = "wamp.error.not_authorized"
FAILED = "wamp.error.authorization_failed"
# Enough for the kernel to spread them over the shards.
SESSIONS = 8
KINDS = [("ws", "json"), ("tcp", "msgpack"), ("ws", "cbor.batched"), ("tcp", "json")]


class Authorizer:
    """The process of the authorizer."""

    def __init__(self, route, serializer):
        self.command = [os.path.join(os.path.dirname(__file__), "authorizer.py")]
        self.command += ["--route", route, "--serializer", serializer]
        self.process = None

    async def start(self):
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(sys.executable, *self.command, stdin=pipe, stdout=pipe)
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE_S)
        assert line.startswith(b'{"ready"'), line

    async def kill(self):
        self.process.send_signal(signal.SIGKILL)
        await asyncio.wait_for(self.process.wait(), PATIENCE_S)

    async def stop(self):
        if self.process.returncode is None:
            self.process.stdin.close()
            await asyncio.wait_for(self.process.wait(), PATIENCE_S)


async def guarded(stage):
    return await stage.join(authid="guarded", ticket="secret!!!")


async def questions(observer, prefix):
    return await observer.call("com.authorizer.questions", prefix)


async def every_action_is_asked_about(stage, authorizer):
    observer, peer = await stage.join(), await guarded(stage)
    free, closed = stage.uri("yes"), stage.uri("no")
    await peer.register(lambda: "answer", free)
    await peer.subscribe(Inbox().handler, free, options=SubscribeOptions(match="prefix"))
    assert await peer.call(free) == "answer"
    await peer.publish(free, options=ACKNOWLEDGED)
    await refused(peer, closed, "session not authorized to publish to topic '{uri}'", DENIED)
    asked = await questions(observer, stage.uri())
    actions = ["register", "subscribe", "call", "publish"]
    assert [(it["uri"], it["action"]) for it in asked[:4]] == [(free, action) for action in actions], asked
    assert [it["action"] for it in asked[4:]] == actions
    assert asked[1]["options"]["match"] == "prefix" and asked[3]["options"]["acknowledge"] is True, asked
    session = asked[0]["session"]
    found = [session[key] for key in ("session", "authid", "authrole", "authmethod", "realm")]
    assert found == [peer.session, "guarded", "guarded", "ticket", "realm1"], session
    assert session["transport"]["peer"].startswith("tcp4:127.0.0.1:"), session


async def refused(peer, uri, publish_text, error):
    """All four actions; the words are Crossbar.io's."""
    async with Refusal(error) as refusal:
        await peer.register(lambda: None, uri)
    words = [refusal.error.args[0]]
    async with Refusal(error) as refusal:
        await peer.subscribe(Inbox().handler, uri)
    words.append(refusal.error.args[0])
    async with Refusal(error) as refusal:
        await peer.call(uri)
    words.append(refusal.error.args[0])
    async with Refusal(error) as refusal:
        await peer.publish(uri, options=ACKNOWLEDGED)
    assert refusal.error.args[0] == publish_text.format(uri=uri), refusal.error.args
    if error == DENIED:
        who = f'session (session_id={peer.session}, authid="guarded", authrole="guarded") is not authorized to'
        doing = ["register procedure", "subscribe to topic", "call procedure"]
        assert words == [f'{who} {deed} "{uri}" on realm "realm1"' for deed in doing], words


async def failures_are_told(stage, authorizer):
    peer = await guarded(stage)
    cases = {"broken": "com.authorizer.error: the database is gone", "junk": "Authorizer returned unknown type 'str'"}
    for word, reason in cases.items():
        text = "failed to authorize session for publishing to topic URI '{uri}': " + reason
        await refused(peer, stage.uri(word), text, FAILED)
    # Without `disclose` nobody is disclosed, and the publication is not lost as it is with Crossbar.io.
    await peer.publish(stage.uri("mute"), options=ACKNOWLEDGED)


async def order_is_kept_and_nobody_else_waits(stage, authorizer):
    observer, peer, other = await stage.join(), await guarded(stage), await guarded(stage)
    inbox, quick = Inbox(), Inbox()
    await observer.subscribe(inbox.handler, stage.uri("a"), options=SubscribeOptions(match="prefix"))
    await observer.subscribe(quick.handler, stage.uri("b.yes"))
    for number, word in enumerate(["slow", "yes", "slow", "remembered", "remembered", "yes"]):
        peer.publish(stage.uri(f"a.{word}"), number)
    other.publish(stage.uri("b.yes"), "at once")
    assert await quick.next_args() == ["at once"]
    assert inbox.queue.empty(), "the slow one is not that slow"
    assert [await inbox.next_args() for _ in range(6)] == [[number] for number in range(6)]


async def a_flood_waits_in_order(stage, authorizer):
    """More than the router keeps for one session: it reads no further."""
    observer, peer = await stage.join(), await guarded(stage)
    inbox, count = Inbox(), 5_000
    await observer.subscribe(inbox.handler, stage.uri(), options=SubscribeOptions(match="prefix"))
    peer.publish(stage.uri("slow"), -1)
    for number in range(count):
        peer.publish(stage.uri("remembered"), number)
    for number in range(-1, count):
        assert await inbox.next_args() == [number]
    assert await peer.call("wamp.session.count") > 0, "the session lives"


async def decisions_are_remembered_for_the_role(stage, authorizer):
    observer = await stage.join()
    peers = [await guarded(stage) for _ in range(SESSIONS)]
    inbox = Inbox()
    options = SubscribeOptions(details=True)
    await observer.subscribe(inbox.handler, stage.uri("remembered"), options=options)
    for peer in peers * 2:
        await peer.publish(stage.uri("remembered"), options=ACKNOWLEDGED)
        _, _, details = await inbox.next()
        assert details.publisher == peer.session, details
    assert len(await questions(observer, stage.uri())) == 1


async def a_change_of_mind_is_heard_everywhere(stage, authorizer):
    observer = await stage.join()
    peers = [await guarded(stage) for _ in range(SESSIONS)]
    uri = stage.uri("x")
    for allow in [True, False, True, False]:
        await observer.call("com.authorizer.set", uri, allow)
        for peer in peers:
            if allow:
                await peer.publish(uri, options=ACKNOWLEDGED)
            else:
                async with Refusal(DENIED):
                    await peer.publish(uri, options=ACKNOWLEDGED)
    assert len(await questions(observer, uri)) == 4
    async with Refusal(DENIED):
        await observer.call("wamp.authorization.invalidate")


async def killed_while_it_is_asked(stage, authorizer):
    observer = await stage.join()
    peers = [await guarded(stage) for _ in range(SESSIONS)]
    kept, inbox = stage.uri("remembered"), Inbox()
    await observer.subscribe(inbox.handler, stage.uri("free"))
    for peer in peers:
        await peer.publish(kept, options=ACKNOWLEDGED)
    pending = [asyncio.ensure_future(peer.call(stage.uri("hang"))) for peer in peers]
    while len(await questions(observer, stage.uri("hang"))) < SESSIONS:
        pass
    await authorizer.kill()
    for future in pending:
        async with Refusal(FAILED):
            await asyncio.wait_for(future, PATIENCE_S)
    async with Refusal(FAILED) as refusal:
        await peers[0].publish(kept, options=ACKNOWLEDGED)
    assert refusal.error.args[0].endswith("wamp.error.no_such_procedure"), "what it remembered is void"
    await (await stage.join()).publish(stage.uri("free"), "healthy", options=ACKNOWLEDGED)
    assert await inbox.next_args() == ["healthy"]
    await authorizer.start()
    for peer in peers:
        await peer.publish(kept, options=ACKNOWLEDGED)
    assert len(await questions(await stage.join(), kept)) == 1


CHECKS = [
    every_action_is_asked_about,
    failures_are_told,
    order_is_kept_and_nobody_else_waits,
    a_flood_waits_in_order,
    decisions_are_remembered_for_the_role,
    a_change_of_mind_is_heard_everywhere,
    killed_while_it_is_asked,
]


async def on_stage(check, kinds, authorizer):
    stage = MixedStage(kinds)
    try:
        await check(stage, authorizer)
    finally:
        await stage.close()


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--route", action="append", required=True)
    parser.add_argument("--router", choices=["crossring"])
    arguments = parser.parse_args()
    routes = {route.partition(":")[0]: route for route in arguments.route}
    kinds = [(routes[scheme], serializer) for scheme, serializer in KINDS]
    report = Report({})
    for first in range(len(kinds)):
        order = kinds[first:] + kinds[:first]
        authorizer = Authorizer(*order[-1])
        await authorizer.start()
        try:
            for check in CHECKS:
                await report.run(check.__name__, on_stage(check, order, authorizer), first=" ".join(order[0]))
        finally:
            await authorizer.stop()
    report.exit()


if __name__ == "__main__":
    asyncio.run(main())
