// AutobahnJS in a headless Chromium, and a look at each web service; prints one JSON line per check.
//
//     node browser.js --chromium /usr/bin/chromium --profile /tmp/profile --port 8080 --secured 8443 --pin BASE64 ...
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const http2 = require("node:http2");
const { buffer } = require("node:stream/consumers");
const { parseArgs } = require("node:util");
const services = require("./services");
const { PATIENCE_MS, Tab, late } = require("./tab");

const text = { type: "string" };
const { values } = parseArgs({
    options: {
        chromium: text,
        profile: text,
        port: text,
        secured: text,
        pin: text,
        key: text,
        secret: text,
        "hook-secret": text,
    },
});
const site = `http://127.0.0.1:${values.port}`;
const foreign = `http://localhost:${values.port}`;
const secured = `https://localhost:${values.secured}`;
const websocket = { type: "websocket", url: `ws://127.0.0.1:${values.port}/ws` };
const longpoll = { type: "longpoll", url: `${site}/lp` };

const SEEN = {
    event: [[1, "ü"], { a: null }],
    failed: ["com.browser.error", ["no"]],
    sums: [...Array(20).keys()].map((n) => n + n),
    left: [["closed", "wamp.close.goodbye_and_out"], ["closed", "wamp.close.goodbye_and_out"]],
};

const converse = (one, other, page = site) => async (tab) => {
    await tab.visit(`${page}/`);
    assert.deepEqual(await tab.call("converse", one, other), SEEN);
};

const CHECKS = {
    "the page comes from static": async (tab) => {
        await tab.visit(`${site}/`);
        assert.equal(await tab.textOf("h1"), "A page with AutobahnJS");
        assert.equal(await tab.evaluate("fetch('/none').then((answer) => answer.status)"), 404);
    },
    "websocket": converse(websocket, websocket),
    "longpoll": converse(longpoll, longpoll),
    "websocket with longpoll": converse(websocket, longpoll),
    "longpoll with websocket": converse(longpoll, websocket),
    "longpoll of a page from elsewhere": converse(longpoll, longpoll, foreign),
    "longpoll with a ticket": async (tab) => {
        const tickets = { ...longpoll, url: `${site}/tickets` };
        await tab.visit(`${site}/`);
        assert.equal(await tab.call("logIn", tickets, "secret"), "joe");
        assert.match(await tab.call("logIn", tickets, "wrong"), /wamp\.error\.not_authorized|authentication/);
    },
    "longpoll over HTTP/2": async () => {
        const connection = http2.connect(site);
        const ask = async (route, body) => {
            const stream = connection.request({ ":method": "POST", ":path": route });
            stream.end(body);
            const [head, octets] = await Promise.all([once(stream, "response"), buffer(stream)]);
            return { status: head[0][":status"], text: octets.toString() };
        };
        const opened = await ask("/lp/open", JSON.stringify({ protocols: ["wamp.2.json"] }));
        const { transport } = JSON.parse(opened.text);
        const received = ask(`/lp/${transport}/receive`, "");
        const hello = [1, "realm1", { roles: { subscriber: {} } }];
        assert.equal((await ask(`/lp/${transport}/send`, JSON.stringify(hello))).status, 204);
        assert.equal(JSON.parse((await received).text)[0], 2);
        assert.equal((await ask(`/lp/${transport}/close`, "")).status, 204);
        connection.close();
    },
    "websocket and longpoll over TLS": converse(
        { type: "websocket", url: `wss://localhost:${values.secured}/ws` },
        { type: "longpoll", url: `${secured}/lp` },
        secured,
    ),
    "AutobahnJS through a proxy": converse(
        { type: "websocket", url: `ws://127.0.0.1:${values.port}/wamp` },
        { type: "websocket", url: `wss://localhost:${values.secured}/wamp` },
        secured,
    ),
    ...services({ site, foreign, secured, key: values.key, secret: values.secret, hookSecret: values["hook-secret"] }),
};

async function main() {
    const tab = await Promise.race([Tab.open(values.chromium, values.profile, values.pin), late(PATIENCE_MS)]);
    try {
        for (const [check, run] of Object.entries(CHECKS)) {
            const began = performance.now();
            let error = null;
            try {
                await Promise.race([run(tab), late(PATIENCE_MS)]);
            } catch (caught) {
                error = caught.message;
                process.exitCode = 1;
            }
            const took_ms = Math.round(performance.now() - began);
            console.log(JSON.stringify({ check, ok: error === null, took_ms, error }));
        }
    } finally {
        await tab.close();
    }
}

main();
