"""Cryptosign by certificate chain, with Autobahn|Python; prints one JSON line per check.

    python certified.py --chains router/tests/certificates/chains.json --route ws://127.0.0.1:8080/ws --route tcp://127.0.0.1:8081

The chains are made already: what makes them needs packages that nothing else here needs.
"""

import argparse
import asyncio
import json

from autobahn.wamp.auth import create_authenticator

from peer import Refused, Report, Stage

SEED = "53d1c94c83e7e78f607bb79e79e3c850b4a6f59cf27c9aba91b44346ea329893"
DELEGATE = "0xf5173a6111B2A6B3C20fceD53B2A8405EC142bF6"
SERIALIZERS = ["json", "msgpack", "cbor"]
DENIED = "wamp.error.not_authorized"
INVALID = f"{DENIED}: invalid client certificates: "
UNTRUSTED = f"{DENIED}: signed message has invalid signature"

CHAINS = {}


def certified(name, seed=SEED, **instead):
    chain = CHAINS[name]
    authextra = {"trustroot": chain["trustroot"], "certificates": chain["certificates"], **instead}
    return create_authenticator("cryptosign", privkey=seed, authextra=authextra)


async def joins_as_the_delegate(stage, name, realm="realm1", **instead):
    peer = await stage.join(realm=realm, proof=certified(name, **instead))
    details = await peer.joined
    found = (details.realm, details.authid, details.authrole, details.authmethod, details.authprovider)
    assert found == ("realm1", DELEGATE, "edge", "cryptosign", "static"), found


async def refused(stage, expected, name, realm="realm1", **how):
    try:
        await stage.join(realm=realm, proof=certified(name, **how))
    except Refused as refusal:
        assert str(refusal) == expected, refusal
    else:
        raise AssertionError("joined, but should not have")


async def a_delegate_joins_with_the_chain_that_autobahn_makes(stage):
    await joins_as_the_delegate(stage, "root, authority, delegate")


async def a_delegate_joins_behind_an_intermediate_authority(stage):
    await joins_as_the_delegate(stage, "root, intermediate, authority, delegate")


async def addresses_need_no_checksum(stage):
    name = "root, authority, delegate"
    await joins_as_the_delegate(stage, name, trustroot=CHAINS[name]["trustroot"].lower())


async def a_trustroot_puts_its_delegates_on_its_realm(stage):
    await joins_as_the_delegate(stage, "root, authority, delegate", realm="entrance")


async def the_chain_of_a_stranger_is_refused_like_a_wrong_signature(stage):
    await refused(stage, UNTRUSTED, "chain of a stranger")
    await refused(stage, UNTRUSTED, "another certificate of the same root")
    await refused(stage, UNTRUSTED, "root, authority, delegate", realm="nowhere")


async def a_broken_chain_is_told_what_is_wrong(stage):
    forged = INVALID + "certificate 1: invalid signature"
    await refused(stage, forged, "authority signed by a stranger")
    stolen = INVALID + "certificate 0: csPubKey is not the public key of the client"
    await refused(stage, stolen, "root, authority, delegate", seed="11" * 32)
    await refused(stage, f'{DENIED}: invalid client trustroot "a.eth" provided', "chain of a stranger", trustroot="a.eth")


CHECKS = [
    a_delegate_joins_with_the_chain_that_autobahn_makes,
    a_delegate_joins_behind_an_intermediate_authority,
    addresses_need_no_checksum,
    a_trustroot_puts_its_delegates_on_its_realm,
    the_chain_of_a_stranger_is_refused_like_a_wrong_signature,
    a_broken_chain_is_told_what_is_wrong,
]


async def on_stage(check, route, serializer):
    stage = Stage(route, serializer)
    try:
        await check(stage)
    finally:
        await stage.close()


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chains", required=True)
    parser.add_argument("--route", action="append", required=True)
    arguments = parser.parse_args()
    with open(arguments.chains) as file:
        CHAINS.update((chain["name"], chain) for chain in json.load(file)["chains"])
    report = Report({})
    for route in arguments.route:
        for serializer in SERIALIZERS:
            for check in CHECKS:
                await report.run(check.__name__, on_stage(check, route, serializer), on=f"{route} {serializer}")
    report.exit()


if __name__ == "__main__":
    asyncio.run(main())
