// AutobahnJS proves who it is, where the configuration knows it and where an authenticator does; prints one JSON line per
// check.
//
//     node guarded.js --route ws://127.0.0.1:8080/ws --provider static|dynamic
"use strict";

globalThis.WebSocket ??= require("ws");
const assert = require("node:assert/strict");
const { parseArgs } = require("node:util");
const autobahn = require("autobahn");

const PASSWORD = "p4ssw0rd";
const SEED = "4d57d97a68f555696620a6d849c0ce582568518d729eb753dc7c732de2804510";
const OTHER_SEED = "d511fe78e23934b3dadb52fcd022974b80bd92bccc7c5cf404e46cc0a8a2f5cd";

const { values } = parseArgs({ options: { route: { type: "string" }, provider: { type: "string" } } });

// WELCOME.Details, or the reason and the message of ABORT.
function enter(authmethods, options) {
    const connection = new autobahn.Connection({
        url: values.route,
        realm: "realm1",
        authmethods,
        max_retries: 0,
        retry_if_unreachable: false,
        ...options,
    });
    return new Promise((resolve) => {
        connection.onopen = (_session, details) => {
            connection.onclose = () => resolve({ details });
            connection.close();
        };
        connection.onclose = (_reason, details) => {
            resolve({ reason: details.reason, message: details.message });
            return true;
        };
        connection.open();
    });
}

function ticket(secret) {
    return enter(["ticket"], { authid: "jim", onchallenge: () => secret });
}

function wampcra(secret) {
    const onchallenge = (_session, _method, extra) => autobahn.auth_cra.sign(secret, extra.challenge);
    return enter(["wampcra"], { authid: "jim", onchallenge });
}

function cryptosign(seed) {
    const key = autobahn.nacl.sign.keyPair.fromSeed(Buffer.from(seed, "hex"));
    const onchallenge = (_session, _method, extra) => autobahn.auth_cryptosign.sign_challenge(key, extra);
    const authextra = { pubkey: autobahn.auth_cryptosign.public_key(key), channel_binding: null };
    return enter(["cryptosign"], { authextra, onchallenge });
}

const CHECKS = {
    async tickets() {
        accepted(await ticket(PASSWORD), "jim", "ticket");
        denied(await ticket("wrong"), values.provider === "static" ? "wamp.error.not_authorized" : "com.denied");
    },
    async signatures_with_a_shared_secret() {
        accepted(await wampcra(PASSWORD), "jim", "wampcra");
        denied(await wampcra("wrong"), "wamp.error.not_authorized");
    },
    async signatures_with_a_key() {
        accepted(await cryptosign(SEED), "signer", "cryptosign");
        denied(await cryptosign(OTHER_SEED), "wamp.error.not_authorized");
    },
    async no_method() {
        denied(await enter(["quantum"], {}), "wamp.error.no_matching_auth_method");
    },
};

function accepted({ details, reason }, authid, method) {
    assert.ok(details, reason);
    const { authrole, authmethod, authprovider } = details;
    assert.deepEqual([details.authid, authrole, authmethod, authprovider], [authid, "member", method, values.provider]);
}

function denied(outcome, reason) {
    assert.equal(outcome.reason, reason, JSON.stringify(outcome));
}

async function main() {
    let failed = false;
    for (const [check, run] of Object.entries(CHECKS)) {
        const line = { check, ok: true };
        try {
            await run();
        } catch (error) {
            failed = true;
            Object.assign(line, { ok: false, reason: String(error) });
        }
        console.log(JSON.stringify(line));
    }
    process.exit(failed ? 1 : 0);
}

main();
