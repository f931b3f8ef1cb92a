"""Joins the node of authenticator.yaml, by WAMP-CRA or by ticket.

    pip install autobahn
    python authenticator_client.py wampcra joe joes-secret [ws://127.0.0.1:8080/ws]
    python authenticator_client.py ticket joe joes-secret [ws://127.0.0.1:8080/ws]
"""

import sys

from autobahn.asyncio.component import Component, run

method, authid, secret = sys.argv[1:4]
url = sys.argv[4] if len(sys.argv) > 4 else "ws://127.0.0.1:8080/ws"
proof = {"secret" if method == "wampcra" else "ticket": secret}
component = Component(
    transports=[{"type": "websocket", "url": url, "max_retries": 0}],
    realm="realm1",
    authentication={method: {"authid": authid, **proof}},
)


@component.on_join
async def joined(session, details):
    print(f"joined as {details.authid}, role {details.authrole}", flush=True)
    session.leave()


@component.on_connectfailure
async def failed(component, error):
    print(f"refused: {getattr(error, 'error', error)}", flush=True)


run([component], log_level="critical")
