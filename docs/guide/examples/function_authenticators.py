"""Runs authenticators of Crossbar.io's type `function`, as they are, as an ordinary client.

    pip install autobahn
    PYTHONPATH=. python function_authenticators.py --url ws://127.0.0.1:8081/ws --realm realm1 \\
        com.example.authenticate=mymodule.create '--config={"com.example.authenticate": {"database": "users.db"}}'

Each NAME=MODULE.FACTORY is a procedure to register and what `create` named; `--config` has what `config` was, by procedure.
The factory is called with that and without a controller. In the router's configuration, type `dynamic` with the `authenticator`
NAME takes the place of `function`. It asks whoever joins by another transport; this program must not have to wait for itself.
"""

import argparse
import importlib
import json
import os

from autobahn.asyncio.component import Component, run


def authenticators(arguments):
    configs = json.loads(arguments.config)
    for named in arguments.authenticators:
        procedure, _, path = named.partition("=")
        module, _, factory = path.rpartition(".")
        create = getattr(importlib.import_module(module), factory)
        yield procedure, create(configs.get(procedure), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="a WebSocket transport that does not ask these authenticators")
    parser.add_argument("--realm", default="realm1")
    parser.add_argument("--authid", help="joins by ticket; the ticket is in AUTHENTICATOR_TICKET")
    parser.add_argument("--config", default="{}", help="JSON")
    parser.add_argument("authenticators", nargs="+", metavar="NAME=MODULE.FACTORY")
    arguments = parser.parse_args()
    procedures = dict(authenticators(arguments))

    authentication = None
    if arguments.authid:
        ticket = os.environ["AUTHENTICATOR_TICKET"]
        authentication = {"ticket": {"authid": arguments.authid, "ticket": ticket}}
    component = Component(transports=arguments.url, realm=arguments.realm, authentication=authentication)

    @component.on_join
    async def joined(session, details):
        for procedure, authenticate in procedures.items():
            await session.register(authenticate, procedure)
            print(f"serving {procedure}", flush=True)

    run([component], log_level="error")


main()
