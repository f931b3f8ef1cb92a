"""One Autobahn|Python session per call of `join`, over any route and serializer, and what the checks share."""

import asyncio
import functools
import itertools
import json
import logging
import os
import ssl
import sys
import traceback
import uuid
from urllib.parse import urlsplit

import txaio

txaio.use_asyncio()

from autobahn.asyncio.rawsocket import WampRawSocketClientFactory  # noqa: E402
from autobahn.asyncio.wamp import ApplicationSession  # noqa: E402
from autobahn.asyncio.websocket import WampWebSocketClientFactory  # noqa: E402
from autobahn.wamp import message  # noqa: E402
from autobahn.wamp.serializer import (  # noqa: E402
    CBORSerializer,
    FlatBuffersSerializer,
    JsonSerializer,
    MsgPackSerializer,
    UBJSONSerializer,
)
from autobahn.wamp.types import ComponentConfig  # noqa: E402
from autobahn.websocket.compress import (  # noqa: E402
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)

# Autobahn warns of every session that ends abnormally; here some do so on purpose.
logging.getLogger().addHandler(logging.NullHandler())

REALM = "realm1"
# How long anything may take before a check fails.
PATIENCE_S = 10.0

SERIALIZERS = {
    "json": JsonSerializer,
    "msgpack": MsgPackSerializer,
    "cbor": CBORSerializer,
    "ubjson": UBJSONSerializer,
    "flatbuffers": FlatBuffersSerializer,
}


class Refused(Exception):
    """The router answered HELLO or AUTHENTICATE with ABORT, or closed the transport."""

    def __init__(self, reason, message):
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class Peer(ApplicationSession):
    """A session whose joining and leaving can be awaited."""

    def __init__(self, realm, authid, ticket, proof, resume, adopt):
        super().__init__(ComponentConfig(realm=realm))
        self.proof = proof
        self.resume = resume
        if adopt is not None:
            # Autobahn has no resumption of its own: what the lost session held goes on here.
            self._subscriptions, self._registrations = adopt._subscriptions, adopt._registrations
            self._request_id_gen = adopt._request_id_gen
        loop = asyncio.get_running_loop()
        self.wanted = (realm, authid, ticket)
        self.joined = loop.create_future()
        self.left = loop.create_future()
        self.gone = loop.create_future()
        self.welcome = None

    def onConnect(self):
        realm, authid, ticket = self.wanted
        authmethods = ["anonymous"] if ticket is None else ["ticket"]
        resume = {}
        if self.resume:
            resume["resumable"] = True
        if isinstance(self.resume, tuple):
            resume["resume_session"], resume["resume_token"] = self.resume
        if self.proof is not None:
            authmethods, resume["authextra"] = [self.proof.name], self.proof.authextra
        self.join(realm, authmethods=authmethods, authid=authid, **resume)

    def onChallenge(self, challenge):
        if self.proof is not None:
            return self.proof.on_challenge(self, challenge)
        assert challenge.method == "ticket", challenge.method
        return self.wanted[2]

    def onMessage(self, received):
        """Behind the WELCOME of a resumed session its events follow at once; Autobahn takes a moment to be ready for them."""
        if isinstance(received, message.Event) and self.welcome is not None and not self.joined.done():
            asyncio.get_running_loop().call_soon(self.onMessage, received)
        else:
            super().onMessage(received)

    def onWelcome(self, welcome):
        self.welcome = welcome
        if self.proof is not None:
            return self.proof.on_welcome(self, welcome.authextra)

    def onJoin(self, details):
        self.joined.set_result(details)

    def onLeave(self, details):
        if not self.joined.done():
            self.joined.set_exception(Refused(details.reason, details.message))
        if not self.left.done():
            self.left.set_result(details)
        return super().onLeave(details)

    def onDisconnect(self):
        super().onDisconnect()
        if not self.joined.done():
            self.joined.set_exception(Refused("transport closed", "before WELCOME"))
        if not self.gone.done():
            self.gone.set_result(None)

    def onUserError(self, fail, msg):
        """Errors that procedures raise on purpose are not worth a log line."""

    @property
    def session(self):
        return self._session_id

    def announces(self, role, feature):
        features = getattr(self.welcome.roles.get(role), feature, None)
        return bool(features)

    def send_in_one_frame(self, messages):
        """Sends several WAMP messages in a single WebSocket message; only batched serializers allow that."""
        transport = self._transport
        encoded = [transport._serializer.serialize(message) for message in messages]
        transport.sendMessage(b"".join(payload for payload, _ in encoded), encoded[0][1])

    async def close(self):
        if self.session is not None:
            self.leave()
        else:
            self.disconnect()
        await asyncio.wait_for(self.gone, PATIENCE_S)


def serializer(name):
    plain, _, batched = name.partition(".")
    return SERIALIZERS[plain](batched=bool(batched))


@functools.cache
def trusting():
    """Trusts the authorities in the file that SUITE_CA names, and nobody else."""
    return ssl.create_default_context(cafile=os.environ["SUITE_CA"])


def accept_deflate(response):
    if isinstance(response, PerMessageDeflateResponse):
        return PerMessageDeflateResponseAccept(response)


async def join(route, serializer_name, realm=REALM, authid=None, ticket=None, proof=None, resume=None, adopt=None):
    """Connects to `route` (`ws://host:port/path`, `tcp://host:port` or `unix:/path`; with TLS `wss:` and `tls:`) and joins.

    A WebSocket with the query `deflate` has to compress.

    `proof`: an authenticator of Autobahn's, for methods other than `ticket`.
    `resume`: True asks for a session that can be resumed; (session, token) resumes one, which `adopt` was.
    """
    loop = asyncio.get_running_loop()
    txaio.config.loop = loop
    peer = Peer(realm, authid, ticket, proof, resume, adopt)
    url = urlsplit(route)
    secure = trusting() if url.scheme in ("wss", "tls") else None
    if url.scheme in ("ws", "wss"):
        factory = WampWebSocketClientFactory(lambda: peer, url=route, serializers=[serializer(serializer_name)])
        if url.query == "deflate":
            offers = [PerMessageDeflateOffer()]
            factory.setProtocolOptions(
                perMessageCompressionOffers=offers, perMessageCompressionAccept=accept_deflate
            )
        connecting = loop.create_connection(factory, url.hostname, url.port, ssl=secure)
    else:
        factory = WampRawSocketClientFactory(lambda: peer, serializer=serializer(serializer_name))
        if url.scheme == "unix":
            connecting = loop.create_unix_connection(factory, url.path)
        else:
            connecting = loop.create_connection(factory, url.hostname, url.port, ssl=secure)
    await asyncio.wait_for(connecting, PATIENCE_S)
    await asyncio.wait_for(peer.joined, PATIENCE_S)
    if url.query == "deflate":
        assert peer._transport._perMessageCompress is not None, "the router does not compress"
    return peer


class Inbox:
    """What one subscription received, in order. Subscribe with `details=True` handlers: `inbox.handler`."""

    def __init__(self):
        self.queue = asyncio.Queue()

    def handler(self, *args, details=None, **kwargs):
        self.queue.put_nowait((list(args), kwargs, details))

    async def next(self):
        return await asyncio.wait_for(self.queue.get(), PATIENCE_S)

    async def next_args(self):
        return (await self.next())[0]


class Refusal:
    """Expects the block to raise an ApplicationError with the given URI, or one of several."""

    def __init__(self, *uris):
        self.uris = uris
        self.error = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, trace):
        assert error is not None, f"expected {self.uris}, but it succeeded"
        if not hasattr(error, "error"):
            return False
        assert error.error in self.uris, f"expected {self.uris}, got {error.error} {error.args}"
        self.error = error
        return True


class Stage:
    """What a check gets: fresh sessions on its route and serializer, and URIs that nobody else uses."""

    def __init__(self, route, serializer_name):
        self.route = route
        self.serializer = serializer_name
        self.peers = []
        self.prefix = f"com.example.r{uuid.uuid4().hex[:12]}"

    def uri(self, suffix=""):
        return f"{self.prefix}.{suffix}" if suffix else self.prefix

    async def join(self, **how):
        peer = await join(self.route, self.serializer, **how)
        self.peers.append(peer)
        return peer

    async def pair(self):
        return await self.join(), await self.join()

    async def close(self):
        await asyncio.gather(*(peer.close() for peer in self.peers if not peer.gone.done()))


class MixedStage(Stage):
    """Each session that joins has the next route and serializer."""

    def __init__(self, kinds):
        super().__init__(*kinds[0])
        self.kinds = itertools.cycle(kinds)

    async def join(self, **how):
        self.route, self.serializer = next(self.kinds)
        return await super().join(**how)


class Skip(Exception):
    """The check does not apply: the router does not announce the feature."""


class Report:
    """One JSON line per check; knows which failures another router is known for."""

    def __init__(self, deviations):
        self.deviations = deviations
        self.failed = 0

    async def run(self, name, check, **labels):
        """Awaits `check` and prints its line; no failure ends the run."""
        line = {"check": name, **labels}
        try:
            await asyncio.wait_for(check, 4 * PATIENCE_S)
            line["ok"] = True
        except Skip as skip:
            line.update(ok=True, skipped=str(skip))
        except Exception as error:
            self.note(line, name, error)
        print(json.dumps(line), flush=True)

    def skip(self, name, reason, **labels):
        print(json.dumps({"check": name, **labels, "ok": True, "skipped": reason}), flush=True)

    def note(self, line, name, error):
        where = traceback.extract_tb(error.__traceback__)
        places = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in where]
        line.update(ok=False, reason=f"{type(error).__name__}: {error}", at=places[-3:])
        if name in self.deviations:
            line["deviation"] = self.deviations[name]
        else:
            self.failed += 1

    def exit(self):
        sys.exit(1 if self.failed else 0)
