// A headless Chromium with one tab, driven over its debugging protocol.
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const readline = require("node:readline");
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

const late = (ms) => new Promise((_, reject) => setTimeout(() => reject(new Error("nothing came")), ms).unref());

class Tab {
    // Takes the certificates whose keys have the fingerprint `pin`.
    static async open(chromium, profile, pin) {
        const own = [`--user-data-dir=${profile}`, `--ignore-certificate-errors-spki-list=${pin}`];
        const browser = spawn(chromium, [...FLAGS, ...own, "about:blank"], { stdio: ["ignore", "ignore", "pipe"] });
        // Whatever fails, it does not outlive this program.
        process.once("exit", () => browser.kill("SIGKILL"));
        const tab = new Tab(browser);
        for await (const line of readline.createInterface({ input: browser.stderr })) {
            const [, url] = line.match(/^DevTools listening on (ws:\S+)/) ?? [];
            if (url) {
                browser.stderr.resume();
                await tab.attach(url);
                return tab;
            }
        }
        throw new Error("the browser ended");
    }

    constructor(browser) {
        this.browser = browser;
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
        const loaded = this.load();
        const { errorText } = await this.ask("Page.navigate", { url });
        assert.equal(errorText, undefined, url);
        await loaded;
    }

    // The next page that is there.
    load() {
        return new Promise((resolve) => {
            this.loaded = resolve;
        });
    }

    textOf(selector) {
        return this.evaluate(`document.querySelector(${JSON.stringify(selector)}).innerText`);
    }

    // What a function of the page returns.
    call(name, ...given) {
        return this.evaluate(`${name}(${given.map((value) => JSON.stringify(value)).join(", ")})`);
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
        const ended = new Promise((resolve) => this.browser.on("exit", resolve));
        this.ask("Browser.close").catch(() => {});
        await Promise.race([ended, late(PATIENCE_MS)]).catch(() => this.browser.kill("SIGKILL"));
    }
}

module.exports = { PATIENCE_MS, Tab, late };
