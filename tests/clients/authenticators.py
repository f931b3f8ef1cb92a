"""Dynamic authenticators written with Autobahn|Python, which are ordinary clients, and whom they let in.

    python authenticators.py --open ws://127.0.0.1:8080/ws --guarded ws://127.0.0.1:8081/ws --guarded tcp://127.0.0.1:8082
        --elsewhere ws://127.0.0.1:8083/ws [--router crossbar]

Authenticators join by `--open`, on the realm `authority` those of `--elsewhere`.
"""

import argparse
import asyncio

from autobahn.wamp.auth import create_authenticator
from autobahn.wamp.exception import ApplicationError

from peer import PATIENCE_S, Refused, Report, join

PROCEDURE = "com.example.authenticate"
PASSWORD = "p4ssw0rd"
SEED = "4d57d97a68f555696620a6d849c0ce582568518d729eb753dc7c732de2804510"
PUBLIC_KEY = "1adfc8bfe1d35616e64dffbd900096f23b066f914c8c2ffbb66f6075b96e116d"
OTHER_SEED = "d511fe78e23934b3dadb52fcd022974b80bd92bccc7c5cf404e46cc0a8a2f5cd"

# What the authenticator knows of everybody, by method; a ticket it judges itself.
PRINCIPALS = {
    "anonymous": {"role": "member"},
    "wampcra": {"secret": PASSWORD, "role": "member"},
    "scram": {
        "kdf": "argon2id-13",
        "iterations": 8,
        "memory": 512,
        "salt": "ae1f0d2f422757809077785e660b62c6",
        "stored-key": "f284c776defbe882776e484762f51b90fb57fbd14d94c9879f8219fc2dc7f3d2",
        "server-key": "190a91a8e3429daee42ce2fec37d66f764955762d086a3f8b1e53189a23356c2",
        "role": "member",
    },
    "cryptosign": {"pubkey": PUBLIC_KEY, "authid": "signer", "role": "member"},
}
SALTED = {"salt": "salt123", "iterations": 1000, "keylen": 32}

# Details that every method hands over, and those of its own.
DETAILS = {"transport", "session", "authmethod", "authextra"}
MORE = {"ticket": {"ticket"}, "wampcra": {"authid", "authrole"}, "cryptosign": {"authid", "authrole"}}


class Authenticator:
    """An ordinary client of the router. Remembers what it was asked, and answers what `answer` says.

    async with Authenticator(arguments, answer): ...
    """

    def __init__(self, arguments, answer=None, realm="realm1"):
        self.route, self.realm = arguments.open, realm
        self.answer = answer or judge
        self.asked = asyncio.Queue()

    async def __aenter__(self):
        self.peer = await join(self.route, "json", realm=self.realm)
        await self.peer.register(self.authenticate, PROCEDURE)
        return self

    async def __aexit__(self, *_):
        if not self.peer.gone.done():
            await self.peer.close()

    async def authenticate(self, realm, authid, details):
        self.asked.put_nowait((realm, authid, details))
        answer = self.answer(realm, authid, details)
        return await answer if asyncio.iscoroutine(answer) else answer

    async def next(self):
        return await asyncio.wait_for(self.asked.get(), PATIENCE_S)

    def cut_off(self):
        """As if its process had been killed."""
        self.peer._transport.transport.abort()


def judge(realm, authid, details):
    if details["authmethod"] != "ticket":
        return PRINCIPALS[details["authmethod"]]
    if details["ticket"] == PASSWORD:
        return "member"
    raise ApplicationError("com.denied", "nope")


def create(config, controller):
    """As Crossbar.io calls what makes an authenticator of type `function`."""
    assert (config, controller) == ({"are": ["as", "they", "were"]}, None)
    return judge


def proof(method, secret, **authextra):
    key = {"scram": "password", "cryptosign": "privkey"}.get(method, "secret")
    options = {key: secret, "authid": "jim"}
    if method == "cryptosign":
        options = {key: secret, "authextra": authextra}
    return create_authenticator(method, **options)


async def enter(route, method, secret, realm="realm1"):
    """A client that proves who it is by this method."""
    if method == "anonymous":
        return await join(route, "json", realm=realm)
    if method == "ticket":
        return await join(route, "json", realm=realm, authid="jim", ticket=secret)
    authid = None if method == "cryptosign" else "jim"
    return await join(route, "json", realm=realm, authid=authid, proof=proof(method, secret))


SECRETS = {"anonymous": "", "ticket": PASSWORD, "wampcra": PASSWORD, "scram": "secret123", "cryptosign": SEED}


async def refused(reason, message, route, method, secret, realm="realm1"):
    try:
        peer = await enter(route, method, secret, realm)
    except Refused as refusal:
        assert refusal.reason == reason, refusal
        assert message is None or str(refusal) == f"{reason}: {message}", refusal
    else:
        await peer.close()
        raise AssertionError("joined, but should not have")


async def each_method_lets_in(arguments):
    async with Authenticator(arguments) as authenticator:
        for route in arguments.guarded:
            for method, secret in SECRETS.items():
                peer = await enter(route, method, secret)
                details = await peer.joined
                realm, authid, told = await authenticator.next()
                who = (details.authrole, details.authmethod, details.authprovider, told["session"])
                assert who == ("member", method, "dynamic", peer.session), who
                expected = {"cryptosign": "signer", "anonymous": authid}.get(method, "jim")
                assert details.authid == expected, details.authid
                assert realm == "realm1", realm
                assert set(told) == DETAILS | MORE.get(method, set()), told
                assert told["transport"]["peer"].startswith("tcp4:127.0.0.1:"), told["transport"]
                await peer.close()


async def a_salted_password_is_derived(arguments):
    answer = PRINCIPALS["wampcra"] | SALTED
    async with Authenticator(arguments, lambda *_: answer):
        for route in arguments.guarded:
            await (await enter(route, "wampcra", PASSWORD)).close()
            await refused("wamp.error.not_authorized", "WAMP-CRA client signature is invalid", route, "wampcra", "wrong")


async def each_method_keeps_out(arguments):
    """A wrong proof, in the words of the method."""
    cases = [
        ("ticket", "wrong", "com.denied", "nope"),
        ("wampcra", "wrong", "wamp.error.not_authorized", "WAMP-CRA client signature is invalid"),
        ("scram", "wrong", "wamp.error.not_authorized", "SCRAM authentication failed"),
        ("cryptosign", OTHER_SEED, "wamp.error.not_authorized", "signed message has invalid signature"),
    ]
    async with Authenticator(arguments):
        for route in arguments.guarded:
            for method, secret, reason, message in cases:
                await refused(reason, message, route, method, secret)


async def everything_can_be_assigned(arguments):
    answer = {"realm": "authority", "authid": "bond", "role": "member", "extra": {"licence": 7}}
    async with Authenticator(arguments, lambda *_: answer):
        peer = await enter(arguments.guarded[0], "ticket", "any")
        details = await peer.joined
        assert (details.realm, details.authid, details.authrole) == ("authority", "bond", "member"), details
        assert peer.welcome.authextra["licence"] == 7, peer.welcome.authextra
        await peer.close()


async def what_is_assigned_has_to_be_there(arguments):
    failed = "wamp.error.authentication_failed"
    cases = [
        (42, failed, "got invalid return type \"<class 'int'>\" from dynamic authenticator"),
        ({}, "wamp.error.no_such_role", "no authrole assigned"),
        ("king", "wamp.error.no_such_role", 'realm "realm1" has no role "king"'),
        (
            {"role": "member", "realm": "limbo"},
            "wamp.error.no_such_realm",
            'no realm "limbo" exists on this router',
        ),
    ]
    if arguments.router == "crossring":
        # There this role opens everything.
        cases.append(("trusted", "wamp.error.no_such_role", 'realm "realm1" has no role "trusted"'))
    for answer, reason, message in cases:
        async with Authenticator(arguments, lambda *_: answer):
            await refused(reason, message, arguments.guarded[0], "ticket", "any")


async def nobody_is_there_to_ask(arguments):
    for method in ["anonymous", "ticket", "wampcra", "scram", "cryptosign"]:
        await refused("wamp.error.no_such_procedure", None, arguments.guarded[0], method, SECRETS[method])


async def another_realm_may_decide(arguments):
    async with Authenticator(arguments, lambda *_: {}, realm="authority"):
        peer = await enter(arguments.elsewhere, "ticket", "any")
        details = await peer.joined
        assert (details.realm, details.authid, details.authrole) == ("realm1", "jim", "member"), details
        await peer.close()


async def clients_and_authenticators_are_on_any_shard(arguments):
    """Clients join until one of them is served by another thread than the authenticator."""
    async with Authenticator(arguments) as authenticator:

        async def thread(peer):
            return (await authenticator.peer.call("wamp.session.get", peer.session))["transport"]["own_tid"]

        own, threads, peers = await thread(authenticator.peer), set(), []
        while len(peers) < 64 and (len(peers) < 8 or not threads - {own}):
            peers += await asyncio.gather(*(enter(arguments.guarded[0], method, SECRETS[method]) for method in SECRETS))
            threads |= {await thread(peer) for peer in peers[-len(SECRETS) :]}
        assert threads - {own}, (own, threads)
        await asyncio.gather(*(peer.close() for peer in peers))


async def never():
    await asyncio.Event().wait()


async def a_killed_authenticator_keeps_nobody_waiting(arguments):
    async with Authenticator(arguments, lambda *_: never()) as authenticator:
        joining = [
            asyncio.create_task(refused("wamp.error.canceled", None, route, method, SECRETS[method]))
            for route in arguments.guarded
            for method in SECRETS
        ]
        for _ in joining:
            await authenticator.next()
        authenticator.cut_off()
        # Were it the deadline, the reason would be another one.
        await asyncio.wait_for(asyncio.gather(*joining), PATIENCE_S)
        await each_method_lets_in(arguments)


async def a_silent_authenticator_is_given_up(arguments):
    interrupted = asyncio.Event()

    async def answer():
        try:
            await never()
        except asyncio.CancelledError:
            interrupted.set()
            raise

    async with Authenticator(arguments, lambda *_: answer()):
        reason, message = "wamp.error.authentication_failed", "authentication timeout"
        await asyncio.gather(
            *(refused(reason, message, arguments.guarded[0], method, SECRETS[method]) for method in SECRETS)
        )
        await asyncio.wait_for(interrupted.wait(), PATIENCE_S)


CHECKS = [
    each_method_lets_in,
    a_salted_password_is_derived,
    each_method_keeps_out,
    everything_can_be_assigned,
    what_is_assigned_has_to_be_there,
    nobody_is_there_to_ask,
    another_realm_may_decide,
]

# What Crossbar.io has not: several threads, a deadline of joining, and answers when the authenticator is gone.
MORE_CHECKS = [
    clients_and_authenticators_are_on_any_shard,
    a_killed_authenticator_keeps_nobody_waiting,
    a_silent_authenticator_is_given_up,
]


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open", required=True)
    parser.add_argument("--guarded", action="append")
    parser.add_argument("--elsewhere")
    parser.add_argument("--router", choices=["crossring", "crossbar"], default="crossring")
    arguments = parser.parse_args()
    report = Report({})
    for check in CHECKS + (MORE_CHECKS if arguments.router == "crossring" else []):
        await report.run(check.__name__, check(arguments))
    report.exit()


if __name__ == "__main__":
    asyncio.run(main())
