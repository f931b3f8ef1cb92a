"""Register and call."""

import asyncio

from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallOptions, CallResult, RegisterOptions

from peer import PATIENCE_S, Refusal, Skip

DETAILS = RegisterOptions(details_arg="details")


async def results_come_back(stage):
    caller, callee = await stage.pair()
    await callee.register(lambda a, b=0: a + b, stage.uri("add"))
    assert await caller.call(stage.uri("add"), 2, b=3) == 5
    assert await caller.call(stage.uri("add"), 7) == 7


async def results_have_any_shape(stage):
    caller, callee = await stage.pair()
    shapes = {"none": None, "many": CallResult(1, 2, three=3), "keyword": CallResult(only="kw")}
    await callee.register(lambda name: shapes[name], stage.uri("shape"))
    assert await caller.call(stage.uri("shape"), "none") is None
    many = await caller.call(stage.uri("shape"), "many")
    assert (list(many.results), many.kwresults) == ([1, 2], {"three": 3})
    keyword = await caller.call(stage.uri("shape"), "keyword")
    assert keyword.kwresults == {"only": "kw"}


async def a_session_calls_itself(stage):
    peer = await stage.join()
    await peer.register(lambda: "self", stage.uri("self"))
    assert await peer.call(stage.uri("self")) == "self"


async def five_hundred_calls_are_each_answered_once(stage):
    caller, callee = await stage.pair()
    seen = []

    def square(number):
        seen.append(number)
        return number * number

    await callee.register(square, stage.uri("square"))
    results = await asyncio.gather(*(caller.call(stage.uri("square"), number) for number in range(500)))
    assert results == [number * number for number in range(500)]
    assert seen == list(range(500)), "invocations out of call order"


async def progressive_results_arrive_in_order(stage):
    caller, callee = await stage.pair()

    async def count(to, details):
        for number in range(to):
            details.progress(number)
        return "done"

    await callee.register(count, stage.uri("count"), DETAILS)
    progress = []
    options = CallOptions(on_progress=progress.append)
    assert await caller.call(stage.uri("count"), 20, options=options) == "done"
    assert progress == list(range(20)), progress


async def progress_is_not_sent_to_those_who_did_not_ask(stage):
    caller, callee = await stage.pair()
    await callee.register(lambda details: details.progress is None, stage.uri("plain"), DETAILS)
    assert await caller.call(stage.uri("plain")) is True


async def errors_carry_uri_and_payload(stage):
    caller, callee = await stage.pair()

    def fail(kind):
        if kind == "own":
            raise ApplicationError("com.example.error", 1, "two", three=3)
        raise ValueError("unexpected")

    await callee.register(fail, stage.uri("fail"))
    async with Refusal("com.example.error") as refusal:
        await caller.call(stage.uri("fail"), "own")
    assert list(refusal.error.args) == [1, "two"], refusal.error.args
    assert refusal.error.kwargs.get("three") == 3, refusal.error.kwargs
    async with Refusal("wamp.error.runtime_error"):
        await caller.call(stage.uri("fail"), "other")


async def unknown_procedures_are_refused(stage):
    peer = await stage.join()
    async with Refusal("wamp.error.no_such_procedure"):
        await peer.call(stage.uri("nothing"))


async def a_procedure_has_one_callee(stage):
    first, second = await stage.pair()
    await first.register(lambda: 1, stage.uri("one"))
    async with Refusal("wamp.error.procedure_already_exists"):
        await second.register(lambda: 2, stage.uri("one"))


async def unregister_frees_the_procedure(stage):
    first, second = await stage.pair()
    registration = await first.register(lambda: "first", stage.uri("name"))
    assert await second.call(stage.uri("name")) == "first"
    await registration.unregister()
    async with Refusal("wamp.error.no_such_procedure"):
        await second.call(stage.uri("name"))
    await second.register(lambda: "second", stage.uri("name"))
    assert await first.call(stage.uri("name")) == "second"


async def pattern_registrations_get_the_procedure(stage):
    caller, callee = await stage.pair()

    def named(kind):
        return lambda details: [kind, details.procedure]

    async def register(kind, uri, match):
        await callee.register(named(kind), uri, RegisterOptions(match=match, details_arg="details"))

    await register("prefix", stage.uri("a"), "prefix")
    await register("longer prefix", stage.uri("a.b"), "prefix")
    await register("wildcard", stage.uri(".z"), "wildcard")
    assert await caller.call(stage.uri("a.c")) == ["prefix", stage.uri("a.c")]
    assert await caller.call(stage.uri("a.b.c")) == ["longer prefix", stage.uri("a.b.c")]
    assert await caller.call(stage.uri("y.z")) == ["wildcard", stage.uri("y.z")]
    # Exact before prefix before wildcard.
    assert await caller.call(stage.uri("a.z")) == ["prefix", stage.uri("a.z")]
    await callee.register(lambda: "exact", stage.uri("a.z"))
    assert await caller.call(stage.uri("a.z")) == "exact"


async def caller_is_disclosed_by_rule_only(stage):
    caller, callee = await stage.pair()

    def who(details):
        return [details.caller, details.caller_authid, details.caller_authrole]

    disclosed = f"com.disclosed.{stage.prefix}"
    await callee.register(who, disclosed, DETAILS)
    await callee.register(who, stage.uri("who"), DETAILS)
    expected = [caller.session, (await caller.joined).authid, "anonymous"]
    assert await caller.call(disclosed) == expected
    assert await caller.call(stage.uri("who")) == [None, None, None]


async def forbidden_procedures_are_not_authorized(stage):
    peer = await stage.join()
    procedure = f"com.forbidden.{stage.prefix}"
    async with Refusal("wamp.error.not_authorized"):
        await peer.register(lambda: None, procedure)
    async with Refusal("wamp.error.not_authorized"):
        await peer.call(procedure)


async def a_lost_callee_ends_the_call(stage):
    caller, callee = await stage.pair()
    called, over = asyncio.Event(), asyncio.Event()

    async def never():
        called.set()
        await over.wait()

    await callee.register(never, stage.uri("never"))
    call = asyncio.ensure_future(caller.call(stage.uri("never")))
    await asyncio.wait_for(called.wait(), PATIENCE_S)
    callee._transport.abort()
    async with Refusal("wamp.error.canceled"):
        await asyncio.wait_for(call, PATIENCE_S)
    over.set()


async def large_results_arrive_whole(stage):
    caller, callee = await stage.pair()
    await callee.register(lambda value: value, stage.uri("echo"))
    text = "crossring \N{RING OPERATOR} " * 40_000
    assert await caller.call(stage.uri("echo"), text) == text


async def shared_registrations_take_turns(stage):
    caller, first = await stage.pair()
    if not caller.announces("dealer", "shared_registration"):
        raise Skip("shared_registration is not announced")
    second = await stage.join()
    options = RegisterOptions(invoke="roundrobin")
    for callee, name in ((first, "first"), (second, "second")):
        await callee.register(lambda name=name: name, stage.uri("turn"), options)
    answers = [await caller.call(stage.uri("turn")) for _ in range(4)]
    assert answers in (["first", "second"] * 2, ["second", "first"] * 2), answers


async def cancelled_calls_end_at_the_callee(stage):
    caller, callee = await stage.pair()
    if not caller.announces("dealer", "call_canceling"):
        raise Skip("call_canceling is not announced")
    called, interrupted = asyncio.Event(), asyncio.Event()

    async def never():
        called.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            interrupted.set()
            raise

    await callee.register(never, stage.uri("never"))
    call = caller.call(stage.uri("never"))
    await asyncio.wait_for(called.wait(), PATIENCE_S)
    call.cancel()
    await asyncio.wait_for(interrupted.wait(), PATIENCE_S)


CHECKS = [
    results_come_back,
    results_have_any_shape,
    a_session_calls_itself,
    five_hundred_calls_are_each_answered_once,
    progressive_results_arrive_in_order,
    progress_is_not_sent_to_those_who_did_not_ask,
    errors_carry_uri_and_payload,
    unknown_procedures_are_refused,
    a_procedure_has_one_callee,
    unregister_frees_the_procedure,
    pattern_registrations_get_the_procedure,
    caller_is_disclosed_by_rule_only,
    forbidden_procedures_are_not_authorized,
    a_lost_callee_ends_the_call,
    large_results_arrive_whole,
    shared_registrations_take_turns,
    cancelled_calls_end_at_the_callee,
]
