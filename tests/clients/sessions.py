"""Joining and leaving: WELCOME, ticket authentication, ABORT reasons, GOODBYE."""

import asyncio

from peer import PATIENCE_S, Refused

ID_MAX = 2**53
EXPECTED_FEATURES = {
    "broker": [
        "pattern_based_subscription",
        "publisher_exclusion",
        "publisher_identification",
        "subscriber_blackwhite_listing",
    ],
    "dealer": ["caller_identification", "pattern_based_registration", "progressive_call_results"],
}


async def welcome_says_who_we_are(stage):
    peer = await stage.join()
    details = await peer.joined
    assert 1 <= details.session <= ID_MAX, details.session
    assert details.realm == "realm1", details.realm
    assert details.authrole == "anonymous", details.authrole
    assert details.authmethod == "anonymous", details.authmethod
    assert isinstance(details.authid, str) and details.authid, details.authid


async def welcome_announces_the_features(stage):
    peer = await stage.join()
    for role, features in EXPECTED_FEATURES.items():
        missing = [feature for feature in features if not peer.announces(role, feature)]
        assert not missing, f"{role} does not announce {missing}"


async def sessions_are_distinct(stage):
    peers = await asyncio.gather(*(stage.join() for _ in range(8)))
    assert len({peer.session for peer in peers}) == 8


async def ticket_is_accepted(stage):
    peer = await stage.join(authid="joe", ticket="secret!!!")
    details = await peer.joined
    assert (details.authid, details.authrole, details.authmethod) == ("joe", "member", "ticket"), str(details)


async def refused(stage, reasons, **how):
    try:
        await stage.join(**how)
    except Refused as refusal:
        assert refusal.reason in reasons, refusal
    else:
        raise AssertionError("joined, but should not have")


async def wrong_ticket_is_refused(stage):
    await refused(stage, FAILED_AUTHENTICATION, authid="joe", ticket="wrong")


async def unknown_principal_is_refused(stage):
    await refused(stage, FAILED_AUTHENTICATION, authid="nobody", ticket="secret!!!")


async def unknown_realm_is_refused(stage):
    await refused(stage, {"wamp.error.no_such_realm"}, realm="realm.that.is.not.there")


FAILED_AUTHENTICATION = {
    "wamp.error.authentication_denied",  # the specification
    "wamp.error.authentication_failed",
    "wamp.error.not_authorized",
    "wamp.error.no_such_principal",
}


async def goodbye_is_answered(stage):
    peer = await stage.join()
    peer.leave("com.example.enough", "that was enough")
    details = await asyncio.wait_for(peer.left, PATIENCE_S)
    assert details.reason in {"wamp.close.goodbye_and_out", "wamp.error.goodbye_and_out"}, details.reason
    await asyncio.wait_for(peer.gone, PATIENCE_S)


async def requests_after_a_lost_peer_still_work(stage):
    first, second = await stage.pair()
    await first.register(lambda: "here", stage.uri("where"))
    first._transport.abort()
    await asyncio.wait_for(first.gone, PATIENCE_S)
    # The name is free again once the router has noticed.
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            await second.register(lambda: "there", stage.uri("where"))
            break
        except Exception:
            assert asyncio.get_running_loop().time() < deadline, "registration of a lost session stays"
            await asyncio.sleep(0.01)
    assert await second.call(stage.uri("where")) == "there"


CHECKS = [
    welcome_says_who_we_are,
    welcome_announces_the_features,
    sessions_are_distinct,
    ticket_is_accepted,
    wrong_ticket_is_refused,
    unknown_principal_is_refused,
    unknown_realm_is_refused,
    goodbye_is_answered,
    requests_after_a_lost_peer_still_work,
]
