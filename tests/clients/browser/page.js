// What the page does when `browser.js` tells it to. Each function returns a promise of what is to be looked at.
"use strict";

// Joins by one transport; resolves to connection and session.
function join(transport, options = {}) {
    return new Promise((resolve, reject) => {
        const connection = new autobahn.Connection({
            transports: [transport],
            realm: "realm1",
            max_retries: 0,
            retry_if_unreachable: false,
            ...options,
        });
        connection.onopen = (session, details) => resolve({ connection, session, details });
        connection.onclose = (reason, details) => {
            reject(new Error(`${reason}: ${details.reason} ${details.message}`));
            return true;
        };
        connection.open();
    });
}

function leave({ connection }) {
    return new Promise((resolve) => {
        connection.onclose = (reason, details) => {
            resolve([reason, details.reason]);
            return true;
        };
        connection.close();
    });
}

// Whatever a session does, by one transport; the other end of it by another.
async function converse(one, other) {
    const [caller, callee] = await Promise.all([join(one), join(other)]);
    const event = new Promise((resolve) => {
        callee.session.subscribe("com.browser.topic", (args, kwargs) => resolve([args, kwargs])).then(() =>
            caller.session.publish("com.browser.topic", [1, "ü"], { a: null }, { acknowledge: true }));
    });
    await callee.session.register("com.browser.add", ([a, b]) => a + b);
    await callee.session.register("com.browser.fail", () => {
        throw new autobahn.Error("com.browser.error", ["no"]);
    });
    const failed = await caller.session.call("com.browser.fail").catch((error) => [error.error, error.args]);
    const sums = await Promise.all([...Array(20).keys()].map((n) => caller.session.call("com.browser.add", [n, n])));
    const seen = { event: await event, failed, sums };
    seen.left = await Promise.all([leave(caller), leave(callee)]);
    return seen;
}

async function logIn(transport, ticket) {
    const options = { authmethods: ["ticket"], authid: "joe", onchallenge: () => ticket };
    try {
        const joined = await join(transport, options);
        await leave(joined);
        return joined.details.authid;
    } catch (error) {
        return error.message;
    }
}

async function post(path, body) {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    return answer.json();
}
