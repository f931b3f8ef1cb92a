"""The WAMP meta API: procedures and events of the router itself. Each session of a check has another serializer and transport."""

import asyncio

from autobahn.wamp import message
from autobahn.wamp.types import PublishOptions, RegisterOptions, SubscribeOptions

from peer import PATIENCE_S, Inbox, Refusal
from pubsub import ACKNOWLEDGE, subscribe


async def watch(peer, *topics):
    """One inbox for several meta topics; events come as (last word of the topic, arguments)."""
    queue = asyncio.Queue()
    for topic in topics:
        name = topic.rpartition(".")[2]
        await peer.subscribe(lambda *args, name=name: queue.put_nowait((name, list(args))), topic)
    return queue


async def after(queue, *first):
    """The next event whose arguments begin so: other sessions of the realm come and go too."""
    while True:
        name, args = await asyncio.wait_for(queue.get(), PATIENCE_S)
        if args[: len(first)] == list(first):
            return name, args


# -- sessions


async def sessions_are_counted_listed_and_described(stage):
    one, two = await stage.pair()
    listed = await one.call("wamp.session.list")
    assert {one.session, two.session} <= set(listed), listed
    assert await one.call("wamp.session.count") >= 2
    assert await one.call("wamp.session.count", ["no.such.role"]) == 0
    assert two.session in await one.call("wamp.session.list", filter_authroles=["anonymous"])
    details = await one.call("wamp.session.get", two.session)
    joined = await two.joined
    told = (details["session"], details["authid"], details["authrole"], details["authmethod"])
    assert told == (two.session, joined.authid, "anonymous", "anonymous"), details
    transport = details["transport"]
    assert transport["channel_type"] == "tcp" and transport["peer"].startswith(("tcp4:127.0.0.1:", "unix")), transport
    async with Refusal("wamp.error.no_such_session"):
        await one.call("wamp.session.get", 2**53)
    async with Refusal("wamp.error.invalid_argument"):
        await one.call("wamp.session.get")


async def joins_and_leaves_are_told(stage):
    watcher = await stage.join()
    events = await watch(watcher, "wamp.session.on_join", "wamp.session.on_leave")
    peer = await stage.join()
    session, authid = peer.session, (await peer.joined).authid
    while True:
        name, [details, *_] = await asyncio.wait_for(events.get(), PATIENCE_S)
        if name == "on_join" and details["session"] == session:
            break
    assert (details["authid"], details["authrole"]) == (authid, "anonymous"), details
    await peer.close()
    assert await after(events, session) == ("on_leave", [session, authid, "anonymous"])


async def a_session_is_killed(stage):
    killer, victim, other = [await stage.join() for _ in range(3)]
    session = victim.session
    await killer.call("wamp.session.kill", session, reason="com.example.enough", message="enough")
    closed = await asyncio.wait_for(victim.left, PATIENCE_S)
    assert (closed.reason, closed.message) == ("com.example.enough", "enough"), closed
    async with Refusal("wamp.error.no_such_session"):
        await killer.call("wamp.session.kill", killer.session)
    async with Refusal("wamp.error.invalid_uri"):
        await killer.call("wamp.session.kill", other.session, reason="not a uri")
    authid, session = (await other.joined).authid, other.session
    assert await killer.call("wamp.session.kill_by_authid", authid) == [session]
    await asyncio.wait_for(other.left, PATIENCE_S)


async def testaments_are_executed(stage):
    watcher, mortal = await stage.pair()
    inbox = await subscribe(watcher, stage.uri("will"))
    leaves = await watch(watcher, "wamp.session.on_leave")
    await mortal.call("wamp.session.add_testament", stage.uri("will"), ["flushed"], {})
    await mortal.call("wamp.session.flush_testaments")
    await mortal.call("wamp.session.add_testament", stage.uri("will"), ["second"], {"k": 1})
    await mortal.call("wamp.session.add_testament", stage.uri("will"), ["first"], {}, scope="detached")
    async with Refusal("wamp.error.invalid_argument", "wamp.error.testament_error"):
        await mortal.call("wamp.session.add_testament", stage.uri("will"), [], {}, scope="never")
    session = mortal.session
    mortal._transport.abort()
    assert [await inbox.next_args() for _ in range(2)] == [["first"], ["second"]]
    assert (await after(leaves, session))[0] == "on_leave"


# -- subscriptions


async def subscriptions_are_described(stage):
    one, two = await stage.pair()
    topic = stage.uri("topic")
    first, second = await subscribe(one, topic), await subscribe(two, topic)
    pattern = await subscribe(two, stage.uri("."), "wildcard")
    id, wild = first.subscription.id, pattern.subscription.id
    assert second.subscription.id == id
    assert await one.call("wamp.subscription.lookup", topic) == id
    assert await one.call("wamp.subscription.lookup", stage.uri("."), {"match": "wildcard"}) == wild
    assert await one.call("wamp.subscription.lookup", stage.uri("nothing")) is None
    assert {id} <= set(await one.call("wamp.subscription.match", topic))
    listed = await one.call("wamp.subscription.list")
    assert id in listed["exact"] and wild in listed["wildcard"], listed
    details = await one.call("wamp.subscription.get", id)
    assert (details["id"], details["uri"], details["match"]) == (id, topic, "exact"), details
    assert details["created"].endswith("Z"), details
    assert sorted(await one.call("wamp.subscription.list_subscribers", id)) == sorted([one.session, two.session])
    assert await one.call("wamp.subscription.count_subscribers", id) == 2
    async with Refusal("wamp.error.no_such_subscription"):
        await one.call("wamp.subscription.get", 2**50)


async def subscriptions_are_told(stage):
    watcher, one, two = [await stage.join() for _ in range(3)]
    names = ("on_create", "on_subscribe", "on_unsubscribe", "on_delete")
    events = await watch(watcher, *(f"wamp.subscription.{name}" for name in names))
    first = await subscribe(one, stage.uri("topic"))
    id = first.subscription.id
    name, [_, details] = await after(events, one.session)
    assert (name, details["id"], details["uri"], details["match"]) == ("on_create", id, stage.uri("topic"), "exact")
    assert await after(events, one.session) == ("on_subscribe", [one.session, id])
    await subscribe(two, stage.uri("topic"))
    assert await after(events, two.session) == ("on_subscribe", [two.session, id])
    await first.subscription.unsubscribe()
    assert await after(events, one.session) == ("on_unsubscribe", [one.session, id])
    lost = two.session
    two._transport.abort()
    assert await after(events, lost) == ("on_unsubscribe", [lost, id])
    assert await after(events, lost) == ("on_delete", [lost, id])


def revocations_of(subscriber):
    """Autobahn announces that it understands revocations, and takes them for a protocol violation: they stop here."""
    revocations, on_message = [], subscriber.onMessage

    def look(received):
        if isinstance(received, message.Unsubscribed) and received.request == 0:
            revocations.append(received)
        else:
            on_message(received)

    subscriber.onMessage = look
    return revocations


async def a_subscriber_is_removed(stage):
    publisher, subscriber = await stage.pair()
    inbox, fence = await subscribe(subscriber, stage.uri("topic")), await subscribe(subscriber, stage.uri("fence"))
    id = inbox.subscription.id
    revocations = revocations_of(subscriber)
    await publisher.call("wamp.subscription.remove_subscriber", id, subscriber.session, reason="com.example.enough")
    await publisher.publish(stage.uri("topic"), "late", options=ACKNOWLEDGE)
    await publisher.publish(stage.uri("fence"), "fence", options=ACKNOWLEDGE)
    assert await fence.next_args() == ["fence"]
    assert inbox.queue.empty()
    assert [(revoked.subscription, revoked.reason) for revoked in revocations] == [(id, "com.example.enough")]
    async with Refusal("wamp.error.no_such_subscription"):
        await publisher.call("wamp.subscription.count_subscribers", id)


# -- registrations


async def registrations_are_described(stage):
    one, two = await stage.pair()
    procedure = stage.uri("procedure")
    options = RegisterOptions(invoke="roundrobin")
    id = (await one.register(lambda: 1, procedure, options)).id
    assert (await two.register(lambda: 2, procedure, options)).id == id
    prefix = (await two.register(lambda: 3, stage.uri("pre"), RegisterOptions(match="prefix"))).id
    assert await one.call("wamp.registration.lookup", procedure) == id
    assert await one.call("wamp.registration.match", stage.uri("prefixed")) == prefix
    assert await one.call("wamp.registration.match", stage.uri("nothing")) is None
    listed = await one.call("wamp.registration.list")
    assert id in listed["exact"] and prefix in listed["prefix"], listed
    details = await one.call("wamp.registration.get", id)
    told = (details["id"], details["uri"], details["match"], details["invoke"])
    assert told == (id, procedure, "exact", "roundrobin"), details
    assert await one.call("wamp.registration.list_callees", id) == [one.session, two.session]
    assert await one.call("wamp.registration.count_callees", id) == 2
    async with Refusal("wamp.error.no_such_registration"):
        await one.call("wamp.registration.get", 2**50)


async def registrations_are_told(stage):
    watcher, callee = await stage.pair()
    names = ("on_create", "on_register", "on_unregister", "on_delete")
    events = await watch(watcher, *(f"wamp.registration.{name}" for name in names))
    registration = await callee.register(lambda: 1, stage.uri("procedure"))
    name, [_, details] = await after(events, callee.session)
    told = (name, details["id"], details["uri"], details["match"], details["invoke"])
    assert told == ("on_create", registration.id, stage.uri("procedure"), "exact", "single"), told
    assert await after(events, callee.session) == ("on_register", [callee.session, registration.id])
    await registration.unregister()
    assert await after(events, callee.session) == ("on_unregister", [callee.session, registration.id])
    assert await after(events, callee.session) == ("on_delete", [callee.session, registration.id])


async def a_callee_is_removed(stage):
    caller, callee = await stage.pair()
    registration = await callee.register(lambda: 1, stage.uri("procedure"))
    await caller.call("wamp.registration.remove_callee", registration.id, callee.session)
    async with Refusal("wamp.error.no_such_procedure"):
        await caller.call(stage.uri("procedure"))


async def nobody_else_speaks_for_the_router(stage):
    peer = await stage.join()
    async with Refusal("wamp.error.invalid_uri"):
        await peer.register(lambda: 0, "wamp.session.count")
    async with Refusal("wamp.error.invalid_uri"):
        await peer.publish("wamp.session.on_join", options=PublishOptions(acknowledge=True))
    inbox = Inbox()
    await peer.subscribe(inbox.handler, "", SubscribeOptions(match="prefix", details=True))
    joined = await stage.join()
    await joined.publish(stage.uri("fence"), options=ACKNOWLEDGE)
    while True:
        _, _, details = await inbox.next()
        assert not details.topic.startswith("wamp."), details.topic
        if details.topic == stage.uri("fence"):
            return


CHECKS = [
    sessions_are_counted_listed_and_described,
    joins_and_leaves_are_told,
    a_session_is_killed,
    testaments_are_executed,
    subscriptions_are_described,
    subscriptions_are_told,
    a_subscriber_is_removed,
    registrations_are_described,
    registrations_are_told,
    a_callee_is_removed,
    nobody_else_speaks_for_the_router,
]
