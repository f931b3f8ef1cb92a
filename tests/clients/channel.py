"""What both ends of a TLS session know of it, and how it ends."""

import hashlib
import ssl

from peer import Skip


def secured(peer):
    secured = peer._transport.transport.get_extra_info("ssl_object")
    if secured is None:
        raise Skip("no TLS")
    return secured


async def the_router_tells_the_channel_id_that_the_client_has(stage):
    peer = await stage.join()
    finished = secured(peer).get_channel_binding("tls-unique")
    transport = (await peer.call("wamp.session.get", peer.session))["transport"]
    assert transport["channel_type"] == "tls" and transport["is_secure"], transport
    assert transport["channel_id"]["tls-unique"] == hashlib.sha256(finished).hexdigest(), transport
    assert len(transport["channel_id"]["tls-exporter"]) == 64, transport


async def details_of_the_transport_have_the_same_channel_id(stage):
    peer = await stage.join()
    secured(peer)
    ours = peer._transport.transport_details.channel_id["tls-unique"]
    transport = (await peer.call("wamp.session.get", peer.session))["transport"]
    assert transport["channel_id"]["tls-unique"] == ours.hex(), (transport, ours)


async def the_end_is_announced(stage):
    """A connection that ends without close_notify would be an error of the transport in asyncio's log."""
    peer = await stage.join()
    assert secured(peer).version() in ("TLSv1.2", "TLSv1.3"), secured(peer).version()
    assert isinstance(secured(peer), ssl.SSLObject)
    await peer.close()
    assert peer.gone.done()


CHECKS = [
    the_router_tells_the_channel_id_that_the_client_has,
    details_of_the_transport_have_the_same_channel_id,
    the_end_is_announced,
]
