"""Subscribe, publish, register and call from Python; stays to serve tour.js.

    pip install autobahn
    python tour.py [ws://127.0.0.1:8080/ws]
"""

import sys

from autobahn.asyncio.component import Component, run

url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8080/ws"
component = Component(transports=url, realm="realm1")


@component.on_join
async def joined(session, details):
    async def greet(name):
        loud = await session.call("com.example.shout", name)
        print(f"{name} said hello, and shouts as {loud}", flush=True)
        session.publish("com.example.answer", f"Hello {loud}, this is Python")

    await session.register(lambda a, b: a + b, "com.example.add")
    await session.subscribe(greet, "com.example.greeting")
    print(f"joined {details.realm} as session {details.session}, now run tour.js", flush=True)


run([component], log_level="error")
