// AutobahnJS in a headless Chromium, and a look at each web service; prints one JSON line per check.
//
//     node browser.js --chromium /usr/bin/chromium --profile /tmp/profile --port 8080
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { once } = require("node:events");
const http2 = require("node:http2");
const readline = require("node:readline");
const { buffer } = require("node:stream/consumers");
const { parseArgs } = require("node:util");
const Socket = require("ws");

const FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
];

// How long anything may take before a check fails.
const PATIENCE_MS = 20_000;

// A browser with one tab, driven over its debugging protocol.
class Tab {
    static async open(chromium, profile) {
        const process = spawn(chromium, [...FLAGS, `--user-data-dir=${profile}`, "about:blank"], {
            stdio: ["ignore", "ignore", "pipe"],
        });
        const tab = new Tab(process);
        for await (const line of readline.createInterface({ input: process.stderr })) {
            const [, url] = line.match(/^DevTools listening on (ws:\S+)/) ?? [];
            if (url) {
                process.stderr.resume();
                await tab.attach(url);
                return tab;
            }
        }
        throw new Error("the browser ended");
    }

    constructor(process) {
        this.process = process;
        this.last = 0;
        this.waiting = new Map();
    }

    async attach(url) {
        this.socket = new Socket(url);
        await new Promise((resolve, reject) => this.socket.on("open", resolve).on("error", reject));
        this.socket.on("message", (text) => this.take(JSON.parse(text)));
        const { targetId } = await this.ask("Target.createTarget", { url: "about:blank" });
        const { sessionId } = await this.ask("Target.attachToTarget", { targetId, flatten: true });
        this.sessionId = sessionId;
        await this.ask("Page.enable");
    }

    ask(method, params = {}) {
        this.last += 1;
        const id = this.last;
        this.socket.send(JSON.stringify({ id, method, params, sessionId: this.sessionId }));
        return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    }

    take({ id, result, error, method }) {
        if (method === "Page.loadEventFired") {
            this.loaded?.();
        }
        const waiting = this.waiting.get(id);
        this.waiting.delete(id);
        if (error) {
            waiting?.reject(new Error(error.message));
        } else {
            waiting?.resolve(result);
        }
    }

    // Goes to a page and waits until it is there.
    async visit(url) {
        const loaded = new Promise((resolve) => {
            this.loaded = resolve;
        });
        const { errorText } = await this.ask("Page.navigate", { url });
        assert.equal(errorText, undefined, url);
        await loaded;
    }

    // The value of an expression in the page; promises are waited for.
    async evaluate(expression) {
        const parameters = { expression, awaitPromise: true, returnByValue: true };
        const { result, exceptionDetails } = await this.ask("Runtime.evaluate", parameters);
        if (exceptionDetails) {
            throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        }
        return result.value;
    }

    async close() {
        const ended = new Promise((resolve) => this.process.on("exit", resolve));
        this.ask("Browser.close").catch(() => {});
        await Promise.race([ended, late(PATIENCE_MS)]).catch(() => this.process.kill("SIGKILL"));
    }
}

const text = { type: "string" };
const { values } = parseArgs({ options: { chromium: text, profile: text, port: text } });
const site = `http://127.0.0.1:${values.port}`;
const websocket = { type: "websocket", url: `ws://127.0.0.1:${values.port}/ws` };
const longpoll = { type: "longpoll", url: `${site}/lp` };

const SEEN = {
    event: [[1, "ü"], { a: null }],
    failed: ["com.browser.error", ["no"]],
    sums: [...Array(20).keys()].map((n) => n + n),
    left: [["closed", "wamp.close.goodbye_and_out"], ["closed", "wamp.close.goodbye_and_out"]],
};

const converse = (one, other) => async (tab) => {
    await tab.visit(`${site}/`);
    const call = `converse(${JSON.stringify(one)}, ${JSON.stringify(other)})`;
    assert.deepEqual(await tab.evaluate(call), SEEN);
};

const textOf = (tab, selector) => tab.evaluate(`document.querySelector(${JSON.stringify(selector)}).innerText`);

const CHECKS = {
    "the page comes from static": async (tab) => {
        await tab.visit(`${site}/`);
        assert.equal(await textOf(tab, "h1"), "A page with AutobahnJS");
        assert.equal(await tab.evaluate("fetch('/none').then((answer) => answer.status)"), 404);
    },
    "websocket": converse(websocket, websocket),
    "longpoll": converse(longpoll, longpoll),
    "websocket with longpoll": converse(websocket, longpoll),
    "longpoll with websocket": converse(longpoll, websocket),
    "longpoll of a page from elsewhere": async (tab) => {
        await tab.visit(`http://localhost:${values.port}/`);
        const call = `converse(${JSON.stringify(longpoll)}, ${JSON.stringify(longpoll)})`;
        assert.deepEqual(await tab.evaluate(call), SEEN);
    },
    "longpoll with a ticket": async (tab) => {
        const tickets = JSON.stringify({ ...longpoll, url: `${site}/tickets` });
        await tab.visit(`${site}/`);
        assert.equal(await tab.evaluate(`logIn(${tickets}, "secret")`), "joe");
        assert.match(await tab.evaluate(`logIn(${tickets}, "wrong")`), /wamp\.error\.not_authorized|authentication/);
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
    "listing": async (tab) => {
        await tab.visit(`${site}/files/`);
        assert.match(await textOf(tab, "h1"), /files/);
        const there = await tab.evaluate("document.querySelector('a').href");
        assert.equal(there, `${site}/files/a%20%3Cb%3E%2Etxt`);
        await tab.visit(there);
        assert.equal(await textOf(tab, "body"), "what is in it");
    },
    "nodeinfo": async (tab) => {
        await tab.visit(`${site}/info`);
        assert.equal(await textOf(tab, "h1"), "crossring");
    },
    "json, also for a page from elsewhere": async (tab) => {
        await tab.visit(`${site}/doc`);
        assert.deepEqual(JSON.parse(await textOf(tab, "body")), { a: ["ü"] });
        await tab.visit(`http://localhost:${values.port}/`);
        const there = `fetch("${site}/doc", { credentials: "include" }).then((answer) => answer.json())`;
        assert.deepEqual(await tab.evaluate(there), { a: ["ü"] });
    },
    "redirect": async (tab) => {
        await tab.visit(`${site}/to/somewhere`);
        assert.equal(await tab.evaluate("location.pathname"), "/info");
    },
    "path": async (tab) => {
        await tab.visit(`${site}/deep/er/doc`);
        assert.equal(await textOf(tab, "body"), "1");
        assert.equal(await tab.evaluate("fetch('/deep/none').then((answer) => answer.status)"), 404);
    },
    "publisher and caller": async (tab) => {
        await tab.visit(`${site}/`);
        const { id } = await tab.evaluate("post('/push', { topic: 'com.browser.topic', args: [1] })");
        assert.ok(Number.isInteger(id));
        const { args } = await tab.evaluate("post('/call', { procedure: 'wamp.session.count' })");
        assert.ok(Number.isInteger(args[0]));
    },
};

const late = (ms) => new Promise((_, reject) => setTimeout(() => reject(new Error("nothing came")), ms).unref());

async function main() {
    const tab = await Promise.race([Tab.open(values.chromium, values.profile), late(PATIENCE_MS)]);
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
