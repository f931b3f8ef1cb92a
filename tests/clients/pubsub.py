"""Publish and subscribe.

That an event does *not* arrive is shown without waiting: the same publisher then publishes a fence to the
same subscriber, and events of one publisher arrive in order.
"""

import asyncio

from autobahn.wamp import message
from autobahn.wamp.types import PublishOptions, SubscribeOptions

from peer import Inbox, Refusal, Skip

ACKNOWLEDGE = PublishOptions(acknowledge=True)


async def subscribe(peer, topic, match=None):
    inbox = Inbox()
    inbox.subscription = await peer.subscribe(inbox.handler, topic, SubscribeOptions(match=match, details=True))
    return inbox


async def acknowledged_publish_returns_the_publication(stage):
    publisher, subscriber = await stage.pair()
    inbox = await subscribe(subscriber, stage.uri("topic"))
    publication = await publisher.publish(stage.uri("topic"), 1, "two", three=3, options=ACKNOWLEDGE)
    args, kwargs, details = await inbox.next()
    assert (args, kwargs) == ([1, "two"], {"three": 3}), (args, kwargs)
    assert details.publication == publication.id, (details.publication, publication.id)


async def acknowledged_publish_without_subscribers_succeeds(stage):
    publisher = await stage.join()
    publication = await publisher.publish(stage.uri("nobody"), options=ACKNOWLEDGE)
    assert 1 <= publication.id <= 2**53


async def events_arrive_in_publish_order_across_topics(stage):
    publisher, subscriber = await stage.pair()
    inbox = await subscribe(subscriber, stage.uri("a"))
    await subscriber.subscribe(inbox.handler, stage.uri("b"), SubscribeOptions(details=True))
    for number in range(200):
        publisher.publish(stage.uri("ab"[number % 2]), number)
    received = [(await inbox.next_args())[0] for _ in range(200)]
    assert received == list(range(200)), received


async def every_subscriber_gets_the_event(stage):
    publisher, *subscribers = await asyncio.gather(*(stage.join() for _ in range(9)))
    inboxes = [await subscribe(subscriber, stage.uri("topic")) for subscriber in subscribers]
    publisher.publish(stage.uri("topic"), "all")
    for inbox in inboxes:
        assert await inbox.next_args() == ["all"]


async def prefix_subscription_names_the_topic(stage):
    publisher, subscriber = await stage.pair()
    inbox = await subscribe(subscriber, stage.uri("a"), "prefix")
    publisher.publish(stage.uri("b"), 0)
    for number, topic in enumerate([stage.uri("a"), stage.uri("a.b.c"), stage.uri("abc")], 1):
        publisher.publish(topic, number)
        args, _, details = await inbox.next()
        assert (args, details.topic) == ([number], topic), (args, details.topic)


async def wildcard_subscription_matches_one_component(stage):
    publisher, subscriber = await stage.pair()
    inbox = await subscribe(subscriber, stage.uri("a..c"), "wildcard")
    for topic in ["a.c", "a.b.d", "a.b.c.d", "a.b.b.c"]:
        publisher.publish(stage.uri(topic), topic)
    publisher.publish(stage.uri("a.x.c"), "match")
    args, _, details = await inbox.next()
    assert (args, details.topic) == (["match"], stage.uri("a.x.c")), (args, details.topic)


async def each_matching_subscription_gets_its_event(stage):
    publisher, subscriber = await stage.pair()
    exact = await subscribe(subscriber, stage.uri("a.b"))
    prefix = await subscribe(subscriber, stage.uri("a"), "prefix")
    wildcard = await subscribe(subscriber, stage.uri(".b"), "wildcard")
    publication = await publisher.publish(stage.uri("a.b"), "x", options=ACKNOWLEDGE)
    for inbox in (exact, prefix, wildcard):
        args, _, details = await inbox.next()
        assert (args, details.publication) == (["x"], publication.id)


async def subscribing_twice_gives_one_subscription(stage):
    publisher, subscriber = await stage.pair()
    first = await subscribe(subscriber, stage.uri("topic"))
    second = await subscribe(subscriber, stage.uri("topic"))
    assert first.subscription.id == second.subscription.id
    publisher.publish(stage.uri("topic"), 1)
    publisher.publish(stage.uri("topic"), 2)
    # Autobahn hands one EVENT to both handlers; a doubled EVENT would come before the second one.
    assert [await first.next_args(), await first.next_args()] == [[1], [2]]


async def unsubscribe_ends_the_events(stage):
    publisher, subscriber = await stage.pair()
    inbox = await subscribe(subscriber, stage.uri("topic"))
    fence = await subscribe(subscriber, stage.uri("fence"))
    await inbox.subscription.unsubscribe()
    publisher.publish(stage.uri("topic"), "late")
    publisher.publish(stage.uri("fence"))
    await fence.next()
    assert inbox.queue.empty()


async def publisher_is_excluded_by_default(stage):
    peer = await stage.join()
    inbox = await subscribe(peer, stage.uri("topic"))
    await peer.publish(stage.uri("topic"), "not for me", options=ACKNOWLEDGE)
    await peer.publish(stage.uri("topic"), "for me", options=PublishOptions(exclude_me=False, acknowledge=True))
    assert await inbox.next_args() == ["for me"]


async def only_these_receive(stage, publisher, inboxes, receivers, **options):
    """Publishes with `options`, then a fence to all; `receivers` are the inboxes that must get the event."""
    publisher.publish(stage.uri("topic"), "event", options=PublishOptions(**options))
    publisher.publish(stage.uri("topic"), "fence")
    for index, inbox in enumerate(inboxes):
        expected = [["event"], ["fence"]] if index in receivers else [["fence"]]
        received = [await inbox.next_args() for _ in expected]
        assert received == expected, f"{options}: subscriber {index} received {received}"


async def eligible_and_exclude_lists_choose_receivers(stage):
    publisher = await stage.join()
    subscribers = [await stage.join(), await stage.join(), await stage.join(authid="joe", ticket="secret!!!")]
    inboxes = [await subscribe(subscriber, stage.uri("topic")) for subscriber in subscribers]
    one, two, joe = [subscriber.session for subscriber in subscribers]
    chosen = [
        ({"eligible": [one, joe]}, {0, 2}),
        ({"exclude": [one]}, {1, 2}),
        ({"eligible": [one, two], "exclude": [two]}, {0}),
        ({"eligible_authid": ["joe"]}, {2}),
        ({"exclude_authid": ["joe"]}, {0, 1}),
        ({"eligible_authrole": ["anonymous"]}, {0, 1}),
        ({"exclude_authrole": ["anonymous"]}, {2}),
        ({"eligible_authrole": ["anonymous"], "exclude": [two]}, {0}),
    ]
    for options, receivers in chosen:
        await only_these_receive(stage, publisher, inboxes, receivers, **options)


async def an_empty_eligible_list_excludes_everybody(stage):
    publisher, subscriber = await stage.pair()
    inboxes = [await subscribe(subscriber, stage.uri("topic"))]
    await only_these_receive(stage, publisher, inboxes, set(), eligible=[])


async def publisher_is_disclosed_by_rule_only(stage):
    publisher, subscriber = await stage.pair()
    disclosed = f"com.disclosed.{stage.prefix}"
    inbox = await subscribe(subscriber, disclosed)
    await subscriber.subscribe(inbox.handler, stage.uri("topic"), SubscribeOptions(details=True))
    publisher.publish(disclosed)
    publisher.publish(stage.uri("topic"))
    _, _, details = await inbox.next()
    shown = (details.publisher, details.publisher_authid, details.publisher_authrole)
    assert shown == (publisher.session, (await publisher.joined).authid, "anonymous"), shown
    _, _, details = await inbox.next()
    assert (details.publisher, details.publisher_authid, details.publisher_authrole) == (None, None, None)


async def forbidden_topics_are_not_authorized(stage):
    peer = await stage.join()
    topic = f"com.forbidden.{stage.prefix}"
    async with Refusal("wamp.error.not_authorized"):
        await peer.subscribe(lambda: None, topic)
    async with Refusal("wamp.error.not_authorized"):
        await peer.publish(topic, options=PublishOptions(acknowledge=True, exclude_me=False))


async def large_events_arrive_whole(stage):
    publisher, subscriber = await stage.pair()
    inbox = await subscribe(subscriber, stage.uri("topic"))
    text = "crossring \N{RING OPERATOR} " * 40_000
    publisher.publish(stage.uri("topic"), text)
    assert await inbox.next_args() == [text]


async def several_messages_in_one_frame(stage):
    if not stage.serializer.endswith(".batched"):
        raise Skip("only batched serializers put several messages into one frame")
    publisher, subscriber = await stage.pair()
    inbox = await subscribe(subscriber, stage.uri("topic"))
    messages = [message.Publish(1 + number, stage.uri("topic"), args=[number]) for number in range(50)]
    publisher.send_in_one_frame(messages)
    assert [(await inbox.next_args())[0] for _ in range(50)] == list(range(50))


CHECKS = [
    acknowledged_publish_returns_the_publication,
    acknowledged_publish_without_subscribers_succeeds,
    events_arrive_in_publish_order_across_topics,
    every_subscriber_gets_the_event,
    prefix_subscription_names_the_topic,
    wildcard_subscription_matches_one_component,
    each_matching_subscription_gets_its_event,
    subscribing_twice_gives_one_subscription,
    unsubscribe_ends_the_events,
    publisher_is_excluded_by_default,
    eligible_and_exclude_lists_choose_receivers,
    an_empty_eligible_list_excludes_everybody,
    publisher_is_disclosed_by_rule_only,
    forbidden_topics_are_not_authorized,
    large_events_arrive_whole,
    several_messages_in_one_frame,
]
