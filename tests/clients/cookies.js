// AutobahnJS comes back with the tracking cookie of an earlier login; prints one JSON line per check.
//
//     node cookies.js --route ws://127.0.0.1:8080/ws
"use strict";

const assert = require("node:assert/strict");
const { parseArgs } = require("node:util");
const Socket = require("ws");

// A browser's jar, as far as there is one cookie in it.
const jar = { cookie: null };

globalThis.WebSocket = class extends Socket {
    constructor(url, protocols) {
        super(url, protocols, jar.cookie ? { headers: { Cookie: jar.cookie } } : {});
        this.on("upgrade", (response) => {
            const [set] = response.headers["set-cookie"] ?? [];
            if (set) {
                jar.cookie = set.split(";")[0];
            }
        });
    }
};
const autobahn = require("autobahn");

// How long anything may take before a check fails.
const PATIENCE_MS = 10_000;

// Joins; resolves to the connection and who it is, or rejects with the reason of the refusal.
function join(url, authmethods, options = {}) {
    return new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error("nothing came")), PATIENCE_MS);
        const connection = new autobahn.Connection({
            url,
            realm: "realm1",
            authmethods,
            max_retries: 0,
            retry_if_unreachable: false,
            onchallenge: () => "secret!!!",
            ...options,
        });
        connection.onopen = (session, { authid, authmethod, authprovider }) => {
            clearTimeout(late);
            resolve({ connection, session, who: [authid, authmethod, authprovider] });
        };
        connection.onclose = (reason, details) => {
            clearTimeout(late);
            reject(new Error(details.reason ?? reason));
            return true;
        };
        connection.open();
    });
}

function close(peer, reason) {
    return new Promise((resolve) => {
        peer.connection.onclose = () => {
            resolve();
            return true;
        };
        peer.connection.close(reason);
    });
}

const CHECKS = {
    async a_login_is_remembered(url) {
        const first = await join(url, ["ticket"], { authid: "joe" });
        assert.deepEqual(first.who, ["joe", "ticket", "static"]);
        assert.match(jar.cookie, /^cbtid=/);
        const given = jar.cookie;
        await close(first);
        const second = await join(url, ["cookie", "ticket"]);
        assert.deepEqual(second.who, ["joe", "ticket", "cookie"]);
        assert.equal(jar.cookie, given);
        await close(second);
    },
    async a_logout_is_the_end_of_it(url) {
        const given = jar.cookie;
        const peer = await join(url, ["cookie"]);
        await close(peer, "wamp.close.logout");
        await assert.rejects(join(url, ["cookie"]));
        assert.notEqual(jar.cookie, given);
    },
};

async function main() {
    const { values } = parseArgs({ options: { route: { type: "string" } } });
    let failed = 0;
    for (const [name, check] of Object.entries(CHECKS)) {
        const line = { check: name };
        try {
            await check(values.route);
            line.ok = true;
        } catch (error) {
            failed += 1;
            line.ok = false;
            line.error = String(error.stack);
        }
        console.log(JSON.stringify(line));
    }
    process.exitCode = failed ? 1 : 0;
}

main();
