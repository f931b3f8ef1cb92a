// AutobahnJS over WebSocket with every serializer it has, talking to itself and to companion.py at the
// same time; prints one JSON line per check.
//
//     node suite.js --route ws://127.0.0.1:8080/ws [--router crossbar]
"use strict";

globalThis.WebSocket ??= require("ws");
const assert = require("node:assert/strict");
const { randomBytes } = require("node:crypto");
const { parseArgs } = require("node:util");
const autobahn = require("autobahn");

// How long anything may take before a check fails.
const PATIENCE_MS = 10_000;

const SERIALIZERS = {
    json: autobahn.serializer.JSONSerializer,
    msgpack: autobahn.serializer.MsgpackSerializer,
    cbor: autobahn.serializer.CBORSerializer,
};

// Checks that another router is known to fail, each with the reason. Crossbar.io: 26.10.1.
const DEVIATIONS = {
    crossring: {},
    crossbar: {
        publisher_and_caller_are_disclosed_on_request: "discloses by rule only",
        malformed_uris_are_invalid: "closes the connection with code 1011",
        goodbye_closes_cleanly: "answers GOODBYE with wamp.close.normal",
    },
};

function within(promise, what) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what}: nothing within ${PATIENCE_MS} ms`)), PATIENCE_MS);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// What a check gets: fresh sessions on its route and serializer, and URIs that nobody else uses.
class Stage {
    constructor(route, serializer) {
        this.route = route;
        this.serializer = serializer;
        this.connections = [];
        this.prefix = `com.example.j${randomBytes(6).toString("hex")}`;
    }

    uri(suffix) {
        return `${this.prefix}.${suffix}`;
    }

    join(options = {}) {
        const connection = new autobahn.Connection({
            url: this.route,
            realm: "realm1",
            serializers: [new SERIALIZERS[this.serializer]()],
            max_retries: 0,
            retry_if_unreachable: false,
            on_user_error: () => {},
            ...options,
        });
        this.connections.push(connection);
        const joined = new Promise((resolve, reject) => {
            connection.onopen = (session, details) => {
                session.details = details;
                resolve(session);
            };
            connection.onclose = (reason, details) => {
                reject(Object.assign(new Error(`refused: ${reason} ${details.reason}`), { details }));
                return true;
            };
        });
        connection.open();
        return within(joined, "join");
    }

    pair() {
        return Promise.all([this.join(), this.join()]);
    }

    async close() {
        const open = this.connections.filter((connection) => connection.isOpen);
        await within(Promise.all(open.map(leave)), "leave");
    }
}

function leave(connection) {
    return new Promise((resolve) => {
        connection.onclose = (reason, details) => {
            resolve(details);
            return true;
        };
        connection.close();
    });
}

// What subscriptions received, in order; `handler` is what to subscribe.
class Inbox {
    constructor() {
        this.events = [];
        this.waiting = [];
        this.handler = (args, kwargs, event) => {
            this.events.push({ args, kwargs, event });
            this.waiting.shift()?.();
        };
    }

    async next() {
        if (this.events.length === 0) {
            await within(new Promise((resolve) => this.waiting.push(resolve)), "event");
        }
        return this.events.shift();
    }
}

async function refusal(promise, uri) {
    const error = await within(promise, uri).then(
        (value) => assert.fail(`expected ${uri}, got ${JSON.stringify(value)}`),
        (error) => error,
    );
    assert.equal(error.error, uri, error.message);
    return error;
}

const checks = {
    async welcome_says_who_we_are(stage) {
        const { id, details } = await stage.join();
        assert.ok(Number.isSafeInteger(id) && id > 0);
        assert.equal(details.authrole, "anonymous");
        assert.equal(details.authmethod, "anonymous");
        assert.equal(details.transport.protocol, `wamp.2.${stage.serializer}`);
    },

    async ticket_is_accepted(stage) {
        const session = await stage.join({
            authmethods: ["ticket"],
            authid: "joe",
            onchallenge: () => "secret!!!",
        });
        assert.equal(session.details.authid, "joe");
        assert.equal(session.details.authrole, "member");
    },

    async wrong_ticket_is_refused(stage) {
        const joining = stage.join({ authmethods: ["ticket"], authid: "joe", onchallenge: () => "wrong" });
        const error = await joining.then(() => assert.fail("joined"), (error) => error);
        const reasons = ["wamp.error.authentication_denied", "wamp.error.authentication_failed", "wamp.error.not_authorized"];
        assert.ok(reasons.includes(error.details?.reason), error.message);
    },

    async acknowledged_publish_returns_the_publication(stage) {
        const [publisher, subscriber] = await stage.pair();
        const inbox = new Inbox();
        await subscriber.subscribe(stage.uri("topic"), inbox.handler);
        const options = { acknowledge: true };
        const publication = await publisher.publish(stage.uri("topic"), [1, "two"], { three: 3 }, options);
        const { args, kwargs, event } = await inbox.next();
        assert.deepEqual(args, [1, "two"]);
        assert.deepEqual({ ...kwargs }, { three: 3 });
        assert.equal(event.publication, publication.id);
    },

    async patterns_match_and_name_the_topic(stage) {
        const [publisher, subscriber] = await stage.pair();
        const [prefix, wildcard] = [new Inbox(), new Inbox()];
        await subscriber.subscribe(stage.uri("a"), prefix.handler, { match: "prefix" });
        await subscriber.subscribe(stage.uri(".z"), wildcard.handler, { match: "wildcard" });
        publisher.publish(stage.uri("b.y"), [0]);
        publisher.publish(stage.uri("a.z"), [1]);
        for (const inbox of [prefix, wildcard]) {
            const { args, event } = await inbox.next();
            assert.deepEqual(args, [1]);
            assert.equal(event.topic, stage.uri("a.z"));
        }
    },

    async receivers_are_chosen(stage) {
        const [publisher, first, second] = await Promise.all([stage.join(), stage.join(), stage.join()]);
        const inboxes = [publisher, first, second].map(() => new Inbox());
        const sessions = [publisher, first, second];
        for (const [index, session] of sessions.entries()) {
            await session.subscribe(stage.uri("topic"), inboxes[index].handler);
        }
        publisher.publish(stage.uri("topic"), ["exclude"], {}, { exclude: [first.id] });
        publisher.publish(stage.uri("topic"), ["eligible"], {}, { eligible: [first.id] });
        publisher.publish(stage.uri("topic"), ["all"], {}, { exclude_me: false });
        const received = [["all"], ["eligible", "all"], ["exclude", "all"]];
        for (const [index, expected] of received.entries()) {
            for (const word of expected) {
                assert.deepEqual((await inboxes[index].next()).args, [word]);
            }
        }
    },

    async unsubscribe_ends_the_events(stage) {
        const [publisher, subscriber] = await stage.pair();
        const [inbox, fence] = [new Inbox(), new Inbox()];
        const subscription = await subscriber.subscribe(stage.uri("topic"), inbox.handler);
        await subscriber.subscribe(stage.uri("fence"), fence.handler);
        await subscription.unsubscribe();
        publisher.publish(stage.uri("topic"));
        publisher.publish(stage.uri("fence"));
        await fence.next();
        assert.equal(inbox.events.length, 0);
    },

    async publisher_and_caller_are_disclosed_by_rule(stage) {
        const [active, passive] = await stage.pair();
        const uri = `com.disclosed.${stage.prefix}`;
        const inbox = new Inbox();
        await passive.subscribe(uri, inbox.handler);
        await passive.register(uri, (_args, _kwargs, details) => [details.caller, details.caller_authrole]);
        active.publish(uri);
        assert.equal((await inbox.next()).event.publisher, active.id);
        assert.deepEqual(await active.call(uri), [active.id, "anonymous"]);
    },

    async publisher_and_caller_are_disclosed_on_request(stage) {
        const [active, passive] = await stage.pair();
        const inbox = new Inbox();
        await passive.subscribe(stage.uri("who"), inbox.handler);
        await passive.register(stage.uri("who"), (_args, _kwargs, details) => details.caller ?? null);
        active.publish(stage.uri("who"), [], {}, { disclose_me: true });
        active.publish(stage.uri("who"));
        assert.equal((await inbox.next()).event.publisher, active.id);
        assert.equal((await inbox.next()).event.publisher, undefined);
        assert.equal(await active.call(stage.uri("who"), [], {}, { disclose_me: true }), active.id);
        assert.equal(await active.call(stage.uri("who")), null);
    },

    async calls_return_results_and_errors(stage) {
        const [caller, callee] = await stage.pair();
        await callee.register(stage.uri("add"), ([a, b]) => a + b);
        await callee.register(stage.uri("many"), () => new autobahn.Result([1, 2], { three: 3 }));
        await callee.register(stage.uri("fail"), () => {
            throw new autobahn.Error("com.example.error", [1, "two"], { three: 3 });
        });
        assert.equal(await caller.call(stage.uri("add"), [2, 3]), 5);
        const many = await caller.call(stage.uri("many"));
        assert.deepEqual([many.args, { ...many.kwargs }], [[1, 2], { three: 3 }]);
        const error = await refusal(caller.call(stage.uri("fail")), "com.example.error");
        assert.deepEqual([error.args, { ...error.kwargs }], [[1, "two"], { three: 3 }]);
        await refusal(caller.call(stage.uri("nothing")), "wamp.error.no_such_procedure");
        const again = caller.register(stage.uri("add"), () => 0);
        await refusal(again, "wamp.error.procedure_already_exists");
    },

    async hundred_calls_are_each_answered_once(stage) {
        const [caller, callee] = await stage.pair();
        await callee.register(stage.uri("square"), ([number]) => number * number);
        const numbers = [...Array(100).keys()];
        const results = await Promise.all(numbers.map((number) => caller.call(stage.uri("square"), [number])));
        assert.deepEqual(results, numbers.map((number) => number * number));
    },

    async progressive_results_arrive_in_order(stage) {
        const [caller, callee] = await stage.pair();
        await callee.register(stage.uri("count"), ([to], _kwargs, details) => {
            for (let number = 0; number < to; number += 1) {
                details.progress([number]);
            }
            return to;
        });
        assert.deepEqual(await progressOf(caller, stage.uri("count"), 20), [...Array(20).keys(), 20]);
    },

    async malformed_uris_are_invalid(stage) {
        const session = await stage.join();
        await refusal(session.subscribe(stage.uri("white space"), () => {}), "wamp.error.invalid_uri");
        await refusal(session.publish(stage.uri("a..b"), [], {}, { acknowledge: true }), "wamp.error.invalid_uri");
        await refusal(session.call(stage.uri("a..b")), "wamp.error.invalid_uri");
        await refusal(session.register(stage.uri("a#b"), () => {}), "wamp.error.invalid_uri");
    },

    async forbidden_uris_are_not_authorized(stage) {
        const session = await stage.join();
        const uri = `com.forbidden.${stage.prefix}`;
        await refusal(session.subscribe(uri, () => {}), "wamp.error.not_authorized");
        await refusal(session.register(uri, () => {}), "wamp.error.not_authorized");
        await refusal(session.call(uri), "wamp.error.not_authorized");
    },

    async goodbye_closes_cleanly(stage) {
        await stage.join();
        const details = await leave(stage.connections[0]);
        const reasons = ["wamp.close.goodbye_and_out", "wamp.error.goodbye_and_out"];
        assert.ok(reasons.includes(details.reason), details.reason);
    },

    async late_answers_are_timeouts(stage) {
        const [caller, callee] = await stage.pair();
        await callee.register(stage.uri("never"), () => new Promise(() => {}));
        await refusal(caller.call(stage.uri("never"), [], {}, { timeout: 100 }), "wamp.error.timeout");
    },

    async cancelled_calls_end(stage) {
        const [caller, callee] = await stage.pair();
        await callee.register(stage.uri("never"), () => new Promise(() => {}));
        const call = caller.call(stage.uri("never"));
        const [request] = Object.keys(caller._call_reqs);
        caller._send_wamp([49, Number(request), { mode: "skip" }]);
        await refusal(call, "wamp.error.canceled");
    },

    async a_shared_procedure_takes_turns(stage) {
        const [caller, first, second] = await Promise.all([stage.join(), stage.join(), stage.join()]);
        for (const [name, callee] of [["first", first], ["second", second]]) {
            await callee.register(stage.uri("turn"), () => name, { invoke: "roundrobin" });
        }
        const answers = [];
        for (let call = 0; call < 4; call += 1) {
            answers.push(await caller.call(stage.uri("turn")));
        }
        assert.deepEqual(answers, ["first", "second", "first", "second"]);
    },

    async a_retained_event_reaches_late_subscribers(stage) {
        const [publisher, subscriber] = await stage.pair();
        await publisher.publish(stage.uri("state"), ["kept"], {}, { retain: true, acknowledge: true });
        for (const match of ["exact", "prefix"]) {
            const inbox = new Inbox();
            await subscriber.subscribe(stage.uri("state"), inbox.handler, { match, get_retained: true });
            const { args, event } = await inbox.next();
            assert.deepEqual([args, event.retained], [["kept"], true]);
        }
    },

    async the_router_tells_who_is_here(stage) {
        const [one, two] = await stage.pair();
        const listed = await one.call("wamp.session.list");
        assert.ok([one.id, two.id].every((id) => listed.includes(id)), JSON.stringify(listed));
        assert.ok((await one.call("wamp.session.count")) >= 2);
        const details = await one.call("wamp.session.get", [two.id]);
        assert.deepEqual([details.session, details.authrole], [two.id, "anonymous"]);
        assert.equal(details.transport.websocket_protocol, `wamp.2.${stage.serializer}`);
        await refusal(one.call("wamp.session.get", [2 ** 52]), "wamp.error.no_such_session");
    },

    async the_router_tells_what_is_registered(stage) {
        const session = await stage.join();
        const registration = await session.register(stage.uri("procedure"), () => 0);
        const { id } = registration;
        assert.equal(await session.call("wamp.registration.lookup", [stage.uri("procedure")]), id);
        const details = await session.call("wamp.registration.get", [id]);
        assert.deepEqual([details.uri, details.match, details.invoke], [stage.uri("procedure"), "exact", "single"]);
        assert.deepEqual(await session.call("wamp.registration.list_callees", [id]), [session.id]);
    },

    async meta_events_come_in_order(stage) {
        const [watcher, actor] = await stage.pair();
        const inbox = new Inbox();
        const names = ["on_create", "on_subscribe", "on_unsubscribe", "on_delete"];
        for (const name of names) {
            await watcher.subscribe(`wamp.subscription.${name}`, ([session]) => {
                if (session === actor.id) {
                    inbox.handler([name]);
                }
            });
        }
        const subscription = await actor.subscribe(stage.uri("topic"), () => {});
        await subscription.unsubscribe();
        for (const name of names) {
            assert.deepEqual((await inbox.next()).args, [name]);
        }
    },

    async a_killed_session_is_told_why(stage) {
        const [killer, victim] = await stage.pair();
        const connection = stage.connections[1];
        const closed = new Promise((resolve) => {
            connection.onclose = (_reason, details) => {
                resolve(details);
                return true;
            };
        });
        await killer.call("wamp.session.kill", [victim.id], { reason: "com.example.enough", message: "enough" });
        const details = await within(closed, "close");
        assert.deepEqual([details.reason, details.message], ["com.example.enough", "enough"]);
    },

    async a_testament_is_executed(stage) {
        const [watcher, mortal] = await stage.pair();
        const inbox = new Inbox();
        await watcher.subscribe(stage.uri("will"), inbox.handler);
        await mortal.call("wamp.session.add_testament", [stage.uri("will"), ["last words"], {}]);
        await leave(stage.connections[1]);
        assert.deepEqual((await inbox.next()).args, ["last words"]);
    },

    async python_understands_what_we_send(stage) {
        const session = await stage.join();
        const values = [null, true, "\u2603", -5, 2 ** 40, Number.MAX_SAFE_INTEGER, 0.25, [1, [2]], { a: { b: 1 } }];
        for (const value of values) {
            assert.deepEqual(plain(await session.call("com.companion.echo", [value])), value);
        }
        const described = await session.call("com.companion.describe", ["text", true, [1], blob(stage, "0001feff")]);
        assert.deepEqual(described, ['str "text"', "bool true", "list [1]", "bytes 0001feff"]);
    },

    async we_understand_what_python_sends(stage) {
        const session = await stage.join();
        const [binary, ...others] = await session.call("com.companion.samples");
        assert.equal(hex(binary), "0001feff");
        assert.deepEqual(others, ["\u2603", 2 ** 53 - 1, -1, 0.5]);
    },

    async python_calls_us_while_we_call_python(stage) {
        const session = await stage.join();
        await session.register(stage.uri("twice"), ([number]) => 2 * number);
        const calls = [...Array(50).keys()].map((number) =>
            session.call("com.companion.call_back", [stage.uri("twice"), number]));
        assert.deepEqual(await Promise.all(calls), [...Array(50).keys()].map((number) => 2 * number));
    },

    async python_reports_progress_to_us(stage) {
        const session = await stage.join();
        assert.deepEqual(await progressOf(session, "com.companion.count", 10), [...Array(10).keys(), 10]);
    },

    async events_travel_between_python_and_us(stage) {
        const session = await stage.join();
        const inbox = new Inbox();
        await session.subscribe(stage.uri("topic"), inbox.handler);
        const publication = await session.call("com.companion.publish", [stage.uri("topic"), "from python"]);
        const { args, event } = await inbox.next();
        assert.deepEqual([args, event.publication], [["from python"], publication]);
        session.publish("com.companion.relay", [stage.uri("topic"), "there and back"], { kept: [true, null] });
        const relayed = await inbox.next();
        assert.deepEqual([relayed.args, { ...relayed.kwargs }], [["there and back"], { kept: [true, null] }]);
    },
};

// The progressive results of one call and, last, its final result.
async function progressOf(session, procedure, to) {
    const results = [];
    const options = { receive_progress: true };
    const call = session.call(procedure, [to], {}, options);
    results.push(await within(call.then((final) => final, undefined, (number) => results.push(number)), procedure));
    return results;
}

// AutobahnJS has no binary type for JSON; there it is written as WAMP's JSON convention says.
function blob(stage, digits) {
    const bytes = Buffer.from(digits, "hex");
    return stage.serializer === "json" ? `\0${bytes.toString("base64")}` : bytes;
}

function hex(binary) {
    const bytes = typeof binary === "string" ? Buffer.from(binary.slice(1), "base64") : Buffer.from(binary);
    return bytes.toString("hex");
}

function plain(value) {
    return value === undefined ? null : JSON.parse(JSON.stringify(value));
}

async function run(name, stage, deviations) {
    const line = { check: name, on: `ws ${stage.serializer}`, ok: true };
    try {
        await checks[name](stage);
    } catch (error) {
        Object.assign(line, { ok: false, reason: String(error.message ?? error.error ?? error).slice(0, 500) });
        if (name in deviations) {
            line.deviation = deviations[name];
        }
    }
    await stage.close().catch((error) => Object.assign(line, { ok: false, reason: error.message }));
    console.log(JSON.stringify(line));
    return line.ok || "deviation" in line;
}

async function main() {
    const { values } = parseArgs({
        options: { route: { type: "string" }, router: { type: "string", default: "crossring" } },
    });
    let passed = true;
    for (const serializer of Object.keys(SERIALIZERS)) {
        for (const name of Object.keys(checks)) {
            passed = (await run(name, new Stage(values.route, serializer), DEVIATIONS[values.router])) && passed;
        }
    }
    process.exit(passed ? 0 : 1);
}

main();
