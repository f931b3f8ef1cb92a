"""WAMP-CRA, SCRAM and Cryptosign, as Autobahn|Python proves who it is."""

from autobahn.wamp.auth import create_authenticator

from peer import Refused, Skip
from sessions import refused

PASSWORD = "p4ssw0rd"
SEED = "4d57d97a68f555696620a6d849c0ce582568518d729eb753dc7c732de2804510"
OTHER_SEED = "d511fe78e23934b3dadb52fcd022974b80bd92bccc7c5cf404e46cc0a8a2f5cd"
CHALLENGE = "bbae60ea44cdd7b20dc7010a618b0f0803fab25a817520b4b7f057299b524deb"
DENIED = {"wamp.error.not_authorized"}


async def joins(stage, method, authid, proof, asked=True):
    peer = await stage.join(authid=authid if asked else None, proof=proof)
    details = await peer.joined
    found = (details.authid, details.authrole, details.authmethod, details.authprovider)
    assert found == (authid, "member", method, "static"), found
    return peer


def cra(authid, secret):
    return create_authenticator("wampcra", authid=authid, secret=secret)


def scram(authid, password):
    return create_authenticator("scram", authid=authid, password=password)


def cryptosign(seed, **authextra):
    return create_authenticator("cryptosign", privkey=seed, authextra=authextra)


async def wampcra_with_a_secret(stage):
    await joins(stage, "wampcra", "cra", cra("cra", PASSWORD))
    await refused(stage, DENIED, authid="cra", proof=cra("cra", "wrong"))


async def wampcra_with_a_salted_password(stage):
    await joins(stage, "wampcra", "salted", cra("salted", PASSWORD))
    await refused(stage, DENIED, authid="salted", proof=cra("salted", "wrong"))


async def wampcra_of_nobody(stage):
    await refused(stage, DENIED, authid="nobody", proof=cra("nobody", PASSWORD))


async def scram_proves_both_sides(stage):
    peer = await joins(stage, "scram", "scram", scram("scram", "secret123"))
    assert peer.welcome.authextra["scram_server_signature"]
    await refused(stage, DENIED, authid="scram", proof=scram("scram", "wrong"))


async def scram_with_keys_that_autobahn_derives(stage):
    """The parameters of `derive_scram_credential`; four passes over the memory are enough for the rest."""
    if not stage.route.startswith("ws") or stage.serializer != "json":
        raise Skip("it takes long, and once it is shown")
    await joins(stage, "scram", "costly", scram("costly", "secret123"))


async def scram_of_nobody(stage):
    await refused(stage, DENIED, authid="nobody", proof=scram("nobody", "secret123"))


async def cryptosign_with_an_authid(stage):
    await joins(stage, "cryptosign", "signer", cryptosign(SEED))
    await refused(stage, DENIED, authid="signer", proof=cryptosign(OTHER_SEED))


async def cryptosign_finds_the_authid(stage):
    await joins(stage, "cryptosign", "signer", cryptosign(SEED), asked=False)


async def the_router_signs_back(stage):
    """Autobahn looks at the router's signature no further: here it is checked against the public key that came along."""
    from nacl.signing import VerifyKey

    seen = []

    class Proof:
        name = "cryptosign"
        inner = cryptosign(SEED, challenge=CHALLENGE)
        authextra = inner.authextra

        def on_challenge(self, session, challenge):
            seen.append(challenge.extra)
            return self.inner.on_challenge(session, challenge)

        def on_welcome(self, session, authextra):
            return self.inner.on_welcome(session, authextra)

    await joins(stage, "cryptosign", "signer", Proof())
    [extra] = seen
    signed = bytes.fromhex(extra["signature"])
    assert VerifyKey(bytes.fromhex(extra["pubkey"])).verify(signed[64:], signed[:64]).hex() == CHALLENGE


async def a_binding_needs_tls(stage):
    if stage.route.startswith(("wss:", "tls:")):
        raise Skip("there is TLS")
    proof = cryptosign(SEED, channel_binding="tls-unique")
    await refused(stage, DENIED, authid="signer", proof=proof)


class Verbatim:
    """HELLO with these extras, AUTHENTICATE with this signature."""

    def __init__(self, name, authextra=None, signature=""):
        self.name, self.authextra, self.signature = name, authextra, signature

    def on_challenge(self, session, challenge):
        return self.signature

    def on_welcome(self, session, authextra):
        pass


WRONG_TICKET = "ticket in static WAMP-Ticket authentication is invalid"
NO_KEY = "cannot identify client: no authid requested and no extra.pubkey provided"

# Who asks, how, and the reason and message of ABORT.
FAILURES = [
    (None, Verbatim("ticket"), "not_authorized", WRONG_TICKET),
    ("joe", Verbatim("ticket", signature="secret!!! "), "not_authorized", WRONG_TICKET),
    ("cra", Verbatim("wampcra", signature="?"), "not_authorized", "WAMP-CRA client signature is invalid"),
    (None, Verbatim("wampcra"), "not_authorized", "WAMP-CRA client signature is invalid"),
    (None, Verbatim("scram", {"nonce": "AAAA"}), "not_authorized", "cannot identify client: no authid requested"),
    ("scram", Verbatim("scram"), "not_authorized", "client must send a nonce"),
    ("scram", Verbatim("scram", {"nonce": "?"}), "not_authorized", "client nonce must be base64"),
    ("scram", Verbatim("scram", {"nonce": "AAAA"}, "AAAA"), "not_authorized", "SCRAM authentication failed"),
    (None, Verbatim("cryptosign"), "not_authorized", NO_KEY),
    ("joe", Verbatim("quantum"), "no_matching_auth_method", None),
]


async def each_failure_has_its_reason(stage):
    for authid, proof, reason, message in FAILURES:
        try:
            await stage.join(authid=authid, proof=proof)
        except Refused as refusal:
            expected = f"wamp.error.{reason}: {message}"
            assert str(refusal) == expected or message is None and refusal.reason == f"wamp.error.{reason}", refusal
        else:
            raise AssertionError(f"joined by {proof.name}, but should not have")


CHECKS = [
    wampcra_with_a_secret,
    wampcra_with_a_salted_password,
    wampcra_of_nobody,
    scram_proves_both_sides,
    scram_with_keys_that_autobahn_derives,
    scram_of_nobody,
    cryptosign_with_an_authid,
    cryptosign_finds_the_authid,
    the_router_signs_back,
    a_binding_needs_tls,
    each_failure_has_its_reason,
]
