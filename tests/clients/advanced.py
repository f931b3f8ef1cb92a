"""The Advanced Profile as far as Autobahn|Python speaks it. Each session of a check has another serializer and transport."""

import asyncio

from autobahn.wamp import message
from autobahn.wamp.interfaces import IPayloadCodec
from autobahn.wamp.types import (
    CallOptions,
    EncodedPayload,
    PublishOptions,
    RegisterOptions,
    SubscribeOptions,
)

from peer import PATIENCE_S, Inbox, Refusal
from pubsub import ACKNOWLEDGE, subscribe

DETAILS = RegisterOptions(details_arg="details")


class Busy:
    """A procedure that ends only when it is told to, or interrupted."""

    def __init__(self):
        self.called = asyncio.Event()
        self.interrupted = asyncio.Event()
        self.over = asyncio.Event()
        self.running = 0

    async def procedure(self):
        self.running += 1
        self.called.set()
        try:
            await self.over.wait()
            return "over"
        except asyncio.CancelledError:
            self.interrupted.set()
            raise
        finally:
            self.running -= 1


async def soon(event):
    await asyncio.wait_for(event.wait(), PATIENCE_S)


# -- calls


async def a_late_answer_is_a_timeout_and_interrupts(stage):
    caller, callee = await stage.pair()
    busy = Busy()
    await callee.register(busy.procedure, stage.uri("busy"))
    async with Refusal("wamp.error.timeout"):
        await caller.call(stage.uri("busy"), options=CallOptions(timeout=150))
    await soon(busy.interrupted)
    await callee.register(lambda: "quick", stage.uri("quick"))
    assert await caller.call(stage.uri("quick"), options=CallOptions(timeout=5000)) == "quick"


async def partial_results_hold_off_the_timeout(stage):
    caller, callee = await stage.pair()

    async def steps(details):
        for number in range(4):
            await asyncio.sleep(0.15)
            details.progress(number)
        await asyncio.sleep(0.15)
        return "done"

    await callee.register(steps, stage.uri("steps"), DETAILS)
    progress = []
    options = CallOptions(on_progress=progress.append, timeout=400)
    assert await caller.call(stage.uri("steps"), options=options) == "done"
    assert progress == [0, 1, 2, 3], progress


async def cancel(stage, mode, *answers):
    caller, callee = await stage.pair()
    busy = Busy()
    await callee.register(busy.procedure, stage.uri("busy"))
    call = asyncio.ensure_future(caller.call(stage.uri("busy")))
    await soon(busy.called)
    [request] = caller._call_reqs
    caller._transport.send(message.Cancel(request, mode=mode))
    async with Refusal("wamp.error.canceled", *answers):
        await asyncio.wait_for(call, PATIENCE_S)
    return busy


async def cancel_kill_interrupts(stage):
    # The callee's own answer counts, and that of an interrupted Autobahn procedure is this error.
    await soon((await cancel(stage, message.Cancel.KILL, "wamp.error.runtime_error")).interrupted)


async def cancel_killnowait_interrupts(stage):
    await soon((await cancel(stage, message.Cancel.KILLNOWAIT)).interrupted)


async def cancel_skip_leaves_the_callee_alone(stage):
    busy = await cancel(stage, message.Cancel.SKIP)
    assert not busy.interrupted.is_set()
    busy.over.set()


async def a_lost_caller_interrupts_the_callee(stage):
    caller, callee = await stage.pair()
    busy = Busy()
    await callee.register(busy.procedure, stage.uri("busy"))
    call = asyncio.ensure_future(caller.call(stage.uri("busy")))
    await soon(busy.called)
    caller._transport.abort()
    await soon(busy.interrupted)
    await asyncio.wait([call], timeout=PATIENCE_S)


async def force_reregister_takes_a_procedure_over(stage):
    first, second, caller = [await stage.join() for _ in range(3)]
    await first.register(lambda: "first", stage.uri("name"), RegisterOptions(force_reregister=True))
    await second.register(lambda: "second", stage.uri("name"), RegisterOptions(force_reregister=True))
    assert await caller.call(stage.uri("name")) == "second"


async def concurrency_is_limited(stage):
    caller, callee = await stage.pair()
    busy = Busy()
    await callee.register(busy.procedure, stage.uri("busy"), RegisterOptions(concurrency=1))
    call = asyncio.ensure_future(caller.call(stage.uri("busy")))
    await soon(busy.called)
    async with Refusal("crossbar.error.max_concurrency_reached"):
        await caller.call(stage.uri("busy"))
    busy.over.set()
    assert await asyncio.wait_for(call, PATIENCE_S) == "over"
    assert await caller.call(stage.uri("busy")) == "over"


async def calls_wait_in_the_queue_of_a_busy_callee(stage):
    caller, other, callee = [await stage.join() for _ in range(3)]
    procedure = f"com.queued.{stage.prefix}"
    running, most = 0, 0

    async def work(number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return number

    await callee.register(work, procedure, RegisterOptions(concurrency=2))
    calls = [peer.call(procedure, number) for number in range(10) for peer in (caller, other)]
    assert await asyncio.wait_for(asyncio.gather(*calls), PATIENCE_S) == [
        number for number in range(10) for _ in range(2)
    ]
    assert most == 2, most


async def policies_choose_among_shared_callees(stage):
    caller, first, second, third = [await stage.join() for _ in range(4)]
    for policy, expected in (("first", {1}), ("last", {3}), ("random", {1, 2, 3})):
        options = RegisterOptions(invoke=policy)
        for number, callee in enumerate((first, second, third), 1):
            await callee.register(lambda number=number: number, stage.uri(policy), options)
        chosen = {await caller.call(stage.uri(policy)) for _ in range(40)}
        assert chosen == expected, f"{policy}: {chosen}"


# -- events


async def a_retained_event_reaches_late_subscribers(stage):
    publisher, exact, pattern = [await stage.join() for _ in range(3)]
    topic = stage.uri("state")
    retain = PublishOptions(retain=True, acknowledge=True)
    await publisher.publish(topic, "old", options=retain)
    publication = await publisher.publish(topic, "new", options=retain)
    await publisher.publish(stage.uri("other"), "other", options=retain)
    inbox = Inbox()
    await exact.subscribe(inbox.handler, topic, SubscribeOptions(get_retained=True, details=True))
    args, _, details = await inbox.next()
    assert (args, details.retained, details.publication) == (["new"], True, publication.id), details
    matching = Inbox()
    options = SubscribeOptions(match="prefix", get_retained=True, details=True)
    await pattern.subscribe(matching.handler, stage.uri(), options)
    found = [await matching.next() for _ in range(2)]
    assert [(args, details.topic) for args, _, details in found] == [
        (["new"], topic),
        (["other"], stage.uri("other")),
    ]
    publisher.publish(topic, "live")
    args, _, details = await inbox.next()
    assert args == ["live"] and not details.retained


async def lists_apply_to_retained_events(stage):
    publisher, allowed, barred = [await stage.join() for _ in range(3)]
    topic = stage.uri("state")
    options = PublishOptions(retain=True, acknowledge=True)
    await publisher.publish(topic, "for all", options=options)
    options = PublishOptions(retain=True, acknowledge=True, exclude=[barred.session])
    await publisher.publish(topic, "for some", options=options)
    for peer, expected in ((allowed, "for some"), (barred, "for all")):
        inbox = Inbox()
        await peer.subscribe(inbox.handler, topic, SubscribeOptions(get_retained=True))
        assert await inbox.next_args() == [expected]


async def the_history_of_a_topic_can_be_read(stage):
    publisher, reader = await stage.pair()
    topic = f"com.history.{stage.prefix}"
    publications = [
        (await publisher.publish(topic, number, options=ACKNOWLEDGE)).id for number in range(5)
    ]
    subscription = await reader.call("wamp.subscription.lookup", "com.history.", {"match": "prefix"})
    assert subscription is not None
    found = await reader.call("wamp.subscription.get_events", subscription, topic=topic)
    events = list(found.results)
    assert [event["publication"] for event in events] == publications, events
    assert [event["args"] for event in events] == [[number] for number in range(5)], events
    newest = await reader.call("wamp.subscription.get_events", subscription, topic=topic, limit=2, reverse=True)
    assert [event["publication"] for event in newest.results] == publications[:2:-1]


async def a_transaction_hash_arrives(stage):
    publisher, subscriber = await stage.pair()
    inbox = await subscribe(subscriber, stage.uri("topic"))
    await publisher.publish(
        stage.uri("topic"), options=PublishOptions(transaction_hash="0xabc", acknowledge=True)
    )
    _, _, details = await inbox.next()
    assert details.transaction_hash == "0xabc", details


class Codec(IPayloadCodec):
    """Hides the payload from the router."""

    def encode(self, is_originating, uri, args=None, kwargs=None):
        text = repr((args, kwargs)).encode()
        return EncodedPayload(bytes(octet ^ 0xFF for octet in text), "x_inverted", "x_repr")

    def decode(self, is_originating, uri, encoded_payload):
        assert encoded_payload.enc_algo == "x_inverted" and encoded_payload.enc_serializer == "x_repr"
        args, kwargs = eval(bytes(octet ^ 0xFF for octet in encoded_payload.payload).decode())
        return uri, args, kwargs


async def opaque_payloads_pass_untouched(stage):
    one, two = await stage.pair()
    for peer in (one, two):
        peer.set_payload_codec(Codec())
    inbox = Inbox()
    await two.subscribe(inbox.handler, stage.uri("topic"))
    await one.publish(stage.uri("topic"), 1, "two", b"\x00\xff", options=ACKNOWLEDGE)
    assert await inbox.next_args() == [1, "two", b"\x00\xff"]
    await two.register(lambda value: [value, value], stage.uri("twice"))
    assert await one.call(stage.uri("twice"), b"\x80") == [b"\x80", b"\x80"]


# -- sessions


async def a_session_survives_its_transport(stage):
    publisher = await stage.join()
    lost = await stage.join(resume=True)
    topic, fence = stage.uri("topic"), stage.uri("fence")
    inbox = await subscribe(lost, topic)
    await lost.register(lambda: "still here", stage.uri("procedure"))
    assert lost.welcome.resumable is True, lost.welcome
    token = lost.welcome.resume_token
    assert isinstance(token, str) and len(token) >= 22, token
    session = lost.session
    watcher = await subscribe(publisher, fence)
    await lost.call("wamp.session.add_testament", fence, ["frozen"], {}, scope="detached")
    lost._transport.abort()
    await asyncio.wait_for(lost.gone, PATIENCE_S)
    # What is published before the router notices the loss goes to the lost transport.
    assert await watcher.next_args() == ["frozen"]
    for number in range(3):
        await publisher.publish(topic, number, options=ACKNOWLEDGE)
    found = await stage.join(resume=(session, token), adopt=lost)
    assert found.session == session and found.welcome.resumed is True, found.welcome
    assert found.welcome.resume_token != token
    assert [await inbox.next_args() for _ in range(3)] == [[0], [1], [2]]
    await publisher.publish(topic, "live", options=ACKNOWLEDGE)
    assert await inbox.next_args() == ["live"]
    assert await publisher.call(stage.uri("procedure")) == "still here"
    found.publish(fence, "done")
    assert await watcher.next_args() == ["done"]


CHECKS = [
    a_late_answer_is_a_timeout_and_interrupts,
    partial_results_hold_off_the_timeout,
    cancel_kill_interrupts,
    cancel_killnowait_interrupts,
    cancel_skip_leaves_the_callee_alone,
    a_lost_caller_interrupts_the_callee,
    force_reregister_takes_a_procedure_over,
    concurrency_is_limited,
    calls_wait_in_the_queue_of_a_busy_callee,
    policies_choose_among_shared_callees,
    a_retained_event_reaches_late_subscribers,
    lists_apply_to_retained_events,
    the_history_of_a_topic_can_be_read,
    a_transaction_hash_arrives,
    opaque_payloads_pass_untouched,
    a_session_survives_its_transport,
]
