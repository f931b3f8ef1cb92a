"""A dynamic authorizer: an ordinary client that decides what others may do, by what their URIs say. Prints one line when
ready, ends with its standard input.

    python authorizer.py --route ws://127.0.0.1:8080/ws --serializer msgpack
"""

import argparse
import asyncio
import json
import sys

from autobahn.wamp.exception import ApplicationError

from peer import join

AUTHORIZER = "com.authorizer.decide"


class Policy:
    def __init__(self, peer):
        self.peer = peer
        self.asked = []
        self.allowed = {}

    async def decide(self, session, uri, action, options):
        self.asked.append({"session": session, "uri": uri, "action": action, "options": options})
        word = uri.rpartition(".")[2]
        if uri in self.allowed:
            return {"allow": self.allowed[uri], "cache": True}
        if word == "slow":
            await asyncio.sleep(0.2)
        elif word == "hang":
            await asyncio.Event().wait()
        elif word == "broken":
            raise ApplicationError("com.authorizer.error", "the database", "is gone")
        elif word == "junk":
            return "certainly"
        elif word == "remembered":
            return {"allow": True, "cache": True, "disclose": True}
        elif word == "mute":
            return {"allow": True}
        return word != "no"

    def questions(self, prefix):
        return [question for question in self.asked if question["uri"].startswith(prefix)]

    async def set(self, uri, allow):
        """Answered when no shard goes by the former decision any more."""
        self.allowed[uri] = allow
        await self.peer.call("wamp.authorization.invalidate")


async def attend(route, serializer):
    peer = await join(route, serializer)
    policy = Policy(peer)
    await peer.register(policy.questions, "com.authorizer.questions")
    await peer.register(policy.set, "com.authorizer.set")
    await peer.register(policy.decide, AUTHORIZER)
    print(json.dumps({"ready": serializer}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await peer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--route", required=True)
    parser.add_argument("--serializer", required=True)
    arguments = parser.parse_args()
    asyncio.run(attend(arguments.route, arguments.serializer))
