"""Tracking cookies and what they log in: Autobahn|Python over WebSocket, before and after a restart of the router.

    python cookies.py --route ws://127.0.0.1:8080/ws --open ws://127.0.0.1:8081/ws --jar FILE --phase before|after

`--route` has ticket, anonymous and cookie authentication, `--open` none. `--jar` takes cookies over the restart.
"""

import argparse
import asyncio
import json
import pathlib
import re
import sys

from autobahn.asyncio.websocket import WampWebSocketClientFactory, WampWebSocketClientProtocol

from peer import PATIENCE_S, REALM, Peer, Refused, Report, serializer
from urllib.parse import urlsplit

SECRET = "secret!!!"


class Protocol(WampWebSocketClientProtocol):
    set_cookie = None

    def onConnect(self, response):
        self.set_cookie = response.headers.get("set-cookie")
        return super().onConnect(response)


class Browser(Peer):
    """A session that offers these methods."""

    def __init__(self, authmethods, **wanted):
        super().__init__(REALM, None, SECRET, None, None, None)
        self.authmethods, self.details = authmethods, wanted

    def onConnect(self):
        self.join(REALM, authmethods=self.authmethods, **self.details)

    def onChallenge(self, challenge):
        return SECRET


async def visit(route, authmethods, cookie=None, **wanted):
    """A joined session; what the router set is its `set_cookie`, what it goes by its `cookie`."""
    peer = Browser(authmethods, **wanted)
    headers = {"Cookie": f"other=1; cbtid={cookie}"} if cookie else None
    factory = WampWebSocketClientFactory(
        lambda: peer, url=route, serializers=[serializer("json")], headers=headers
    )
    factory.protocol = Protocol
    url = urlsplit(route)
    connecting = asyncio.get_running_loop().create_connection(factory, url.hostname, url.port)
    _, protocol = await asyncio.wait_for(connecting, PATIENCE_S)
    try:
        peer.identity = await asyncio.wait_for(peer.joined, PATIENCE_S)
    finally:
        peer.set_cookie = protocol.set_cookie
    peer.cookie = peer.set_cookie.split(";")[0].split("=", 1)[1] if peer.set_cookie else cookie
    return peer


async def log_in(arguments):
    peer = await visit(arguments.route, ["ticket"], authid="joe")
    assert who(peer) == ("joe", "member", "ticket", "static"), who(peer)
    return peer


def who(peer):
    identity = peer.identity
    return identity.authid, identity.authrole, identity.authmethod, identity.authprovider


async def refused(route, authmethods, cookie=None, **wanted):
    try:
        peer = await visit(route, authmethods, cookie, **wanted)
    except Refused as refusal:
        return refusal
    raise AssertionError(f"let in as {who(peer)}")


async def a_new_peer_gets_a_cookie(arguments):
    peer = await log_in(arguments)
    pattern = r"cbtid=[A-Za-z0-9+/]{24};max-age=604800"
    assert re.fullmatch(pattern, peer.set_cookie), peer.set_cookie
    again = await visit(arguments.route, ["anonymous"], peer.cookie)
    assert again.set_cookie is None
    stranger = await visit(arguments.route, ["anonymous"], "A" * 24)
    assert stranger.cookie not in ("A" * 24, peer.cookie), stranger.set_cookie
    for each in (peer, again, stranger):
        await each.close()


async def a_cookie_logs_in_again(arguments):
    first = await log_in(arguments)
    second = await visit(arguments.route, ["cookie"], first.cookie)
    third = await visit(arguments.route, ["ticket", "cookie"], first.cookie, authid="someone else")
    for peer in (second, third):
        assert who(peer) == ("joe", "member", "ticket", "cookie"), who(peer)
        assert peer.identity.authextra["x_cb_node"], "told as usual"
    details = await third.call("wamp.session.get", third.session)
    assert details["authprovider"] == "cookie" and details["transport"]["http_cbtid"] is None, details
    assert first.cookie not in json.dumps(details)
    for peer in (first, second, third):
        await peer.close()


async def a_cookie_of_nobody_logs_nobody_in(arguments):
    for cookie in (None, "A" * 24):
        refusal = await refused(arguments.route, ["cookie"], cookie)
        assert refusal.reason in {"wamp.error.no_auth_method", "wamp.error.no_matching_auth_method"}, refusal
        peer = await visit(arguments.route, ["cookie", "anonymous"], cookie)
        assert who(peer)[1:] == ("anonymous", "anonymous", "static"), who(peer)
        await peer.close()


async def who_does_not_ask_revokes_the_login(arguments):
    first = await log_in(arguments)
    await first.close()
    other = await visit(arguments.route, ["anonymous"], first.cookie)
    assert who(other)[1:] == ("anonymous", "anonymous", "static"), who(other)
    again = await visit(arguments.route, ["cookie"], first.cookie)
    assert who(again) == (other.identity.authid, "anonymous", "anonymous", "cookie"), who(again)
    for peer in (other, again):
        await peer.close()


async def log_out_ends_all_that_share_the_cookie(arguments):
    first = await log_in(arguments)
    others = [await visit(arguments.route, ["cookie"], first.cookie) for _ in range(4)]
    stranger = await log_in(arguments)
    first.leave("wamp.close.logout")
    for other in others:
        left = await asyncio.wait_for(other.left, PATIENCE_S)
        assert left.reason == "wamp.close.logout", left
        await asyncio.wait_for(other.gone, PATIENCE_S)
    assert not stranger.gone.done()
    await refused(arguments.route, ["cookie"], first.cookie)
    fresh = await visit(arguments.route, ["anonymous"], first.cookie)
    assert fresh.set_cookie and fresh.cookie != first.cookie, fresh.set_cookie
    for peer in (stranger, fresh):
        await peer.close()


async def an_open_transport_names_by_the_cookie(arguments):
    first = await visit(arguments.open, ["anonymous"])
    assert first.set_cookie.endswith(";max-age=60;HttpOnly;SameSite=Strict"), first.set_cookie
    second = await visit(arguments.open, ["anonymous"], first.cookie)
    assert who(first)[0] == who(second)[0] == first.cookie, (who(first), who(second))
    details = await second.call("wamp.session.get", second.session)
    assert details["transport"]["http_cbtid"] == first.cookie, details
    for peer in (first, second):
        await peer.close()


async def cookies_go_into_the_jar(arguments):
    kept, gone = await log_in(arguments), await log_in(arguments)
    arguments.jar.write_text(json.dumps([kept.cookie, gone.cookie]))
    await kept.close()
    gone.leave("wamp.close.logout")
    await asyncio.wait_for(gone.gone, PATIENCE_S)


async def a_login_outlives_the_router(arguments):
    kept, gone = json.loads(arguments.jar.read_text())
    peer = await visit(arguments.route, ["cookie"], kept)
    assert peer.set_cookie is None and who(peer) == ("joe", "member", "ticket", "cookie"), who(peer)
    await refused(arguments.route, ["cookie"], gone)
    await peer.close()


BEFORE = [
    a_new_peer_gets_a_cookie,
    a_cookie_logs_in_again,
    a_cookie_of_nobody_logs_nobody_in,
    who_does_not_ask_revokes_the_login,
    log_out_ends_all_that_share_the_cookie,
    an_open_transport_names_by_the_cookie,
    cookies_go_into_the_jar,
]
AFTER = [a_login_outlives_the_router, a_cookie_logs_in_again, log_out_ends_all_that_share_the_cookie]


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--route", required=True)
    parser.add_argument("--open", required=True)
    parser.add_argument("--jar", required=True, type=pathlib.Path)
    parser.add_argument("--phase", required=True, choices=["before", "after"])
    arguments = parser.parse_args()
    report = Report({})
    for check in BEFORE if arguments.phase == "before" else AFTER:
        await report.run(check.__name__, check(arguments))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
