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

// What a page sees of an answer.
async function ask(url, options) {
    const answer = await fetch(url, options);
    return { status: answer.status, type: answer.headers.get("Content-Type"), text: await answer.text() };
}

// The answer to a request, and the event that it makes.
async function hear(transport, topic, url, options) {
    const joined = await join(transport);
    let heard;
    const event = new Promise((resolve) => {
        heard = resolve;
    });
    await joined.session.subscribe(topic, (args, kwargs) => heard({ args, kwargs }));
    const answer = await ask(url, options);
    const seen = { answer, event: answer.status < 300 ? await event : null };
    await leave(joined);
    return seen;
}

// The answer to a request that calls a procedure of this page.
async function serve(transport, procedure, url, options) {
    const joined = await join(transport);
    await joined.session.register(procedure, (args, kwargs) => new autobahn.Result([...args].reverse(), kwargs));
    const answer = await ask(url, options);
    await leave(joined);
    return answer;
}

async function hmac(secret, text) {
    const octets = (text) => new TextEncoder().encode(text);
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const key = await crypto.subtle.importKey("raw", octets(secret), algorithm, false, ["sign"]);
    return new Uint8Array(await crypto.subtle.sign("HMAC", key, octets(text)));
}

async function hex(secret, text) {
    return [...await hmac(secret, text)].map((octet) => octet.toString(16).padStart(2, "0")).join("");
}

// Where a request with this body goes, with all that its signature needs.
async function signed(url, key, secret, body) {
    const [timestamp, seq, nonce] = [new Date().toISOString(), 1, crypto.getRandomValues(new Uint32Array(1))[0]];
    const octets = await hmac(secret, `${key}${timestamp}${seq}${nonce}${body}`);
    const signature = btoa(String.fromCharCode(...octets)).replaceAll("+", "-").replaceAll("/", "_");
    return `${url}?${new URLSearchParams({ key, timestamp, seq, nonce, signature })}`;
}

// What a server says of itself and sends back of a text and of octets.
function echo(url) {
    return new Promise((resolve, reject) => {
        const socket = new WebSocket(url);
        const came = [];
        socket.binaryType = "arraybuffer";
        socket.onopen = () => {
            socket.send("ü");
            socket.send(Uint8Array.from({ length: 200_000 }, (_, index) => index % 251));
        };
        socket.onmessage = ({ data }) => {
            came.push(data);
            if (came.length === 3) {
                socket.close(1000);
            }
        };
        socket.onclose = ({ code }) => {
            if (came.length < 3) {
                reject(new Error(`${url} ended with ${code} after ${came.length} messages`));
                return;
            }
            const octets = new Uint8Array(came[2]);
            const sum = octets.reduce((sum, octet) => sum + octet, 0);
            resolve({ told: came[0], text: came[1], size: octets.length, sum, code });
        };
    });
}

function chunkOf(name, content, number, size) {
    const total = content.length;
    const fields = { name, type: "text/plain", total, number, size, count: Math.ceil(total / size) };
    return { fields, file: new File([content.slice((number - 1) * size, number * size)], name) };
}

// Sends a file as resumable.js does: asks for each chunk, sends it, asks again; at last one that is there already.
async function upload(transport, url, name, content, size) {
    const joined = await join(transport);
    const events = [];
    let finished;
    const end = new Promise((resolve) => {
        finished = resolve;
    });
    await joined.session.subscribe("com.browser.progress", ([{ status }]) => {
        events.push(status);
        if (status === "finished") {
            finished();
        }
    });
    const answers = [];
    const count = Math.ceil(content.length / size);
    for (let number = 1; number <= count; number += 1) {
        const { fields, file } = chunkOf(name, content, number, size);
        const form = new FormData();
        const all = { ...fields, topic: "com.browser.progress" };
        Object.entries(all).forEach(([field, value]) => form.append(field, value));
        form.append("content", file);
        const place = `${url}?${new URLSearchParams(fields)}`;
        answers.push((await fetch(place)).status);
        answers.push((await fetch(url, { method: "POST", body: form })).status);
        if (number < count) {
            answers.push((await fetch(place)).status);
        } else {
            answers.push((await fetch(url, { method: "POST", body: form })).status);
        }
    }
    await end;
    await leave(joined);
    return { answers, events };
}

// Goes where a form with a file goes.
function submit(action, name, content) {
    const { fields, file } = chunkOf(name, content, 1, content.length);
    const form = Object.assign(document.createElement("form"), { action, method: "post", enctype: "multipart/form-data" });
    for (const [field, value] of Object.entries(fields)) {
        form.append(Object.assign(document.createElement("input"), { type: "hidden", name: field, value }));
    }
    const files = new DataTransfer();
    files.items.add(file);
    const chooser = Object.assign(document.createElement("input"), { type: "file", name: "content", files: files.files });
    form.append(chooser);
    document.body.append(form);
    // By now the page has the answer to its caller.
    setTimeout(() => form.submit(), 0);
}
