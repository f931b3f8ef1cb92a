"""Decides who may join the node of authenticator.yaml, by WAMP-CRA or by ticket.

    pip install autobahn
    AUTHENTICATOR_TICKET=... python authenticator.py [ws://127.0.0.1:8081/ws]
"""

import hmac
import os
import sys

from autobahn.asyncio.component import Component, run
from autobahn.wamp.exception import ApplicationError

# Stands for a database.
SECRETS = {"joe": "joes-secret"}

url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8081/ws"
ticket = os.environ["AUTHENTICATOR_TICKET"]
component = Component(
    transports=url,
    realm="realm1",
    authentication={"ticket": {"authid": "authenticator", "ticket": ticket}},
)


@component.register("com.example.authenticate")
async def authenticate(realm, authid, details):
    method, secret = details["authmethod"], SECRETS.get(authid)
    if method == "wampcra" and secret:
        # The router checks the client's proof.
        return {"role": "member", "secret": secret}
    if method == "ticket" and secret and hmac.compare_digest(details["ticket"], secret):
        return {"role": "member", "extra": {"since": 2026}}
    raise ApplicationError("com.example.denied", "unknown, or a wrong secret")


@component.on_ready
async def ready(session):
    print("ready", flush=True)


run([component], log_level="error")
