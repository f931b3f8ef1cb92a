// A look at each web service with the means of a page: navigation, fetch, forms, WebSocket. The functions called
// in the page are in `browser/page.js`.
"use strict";

const assert = require("node:assert/strict");

// By `site` and `foreign` one and the same server is reached, for a browser they are two; `secured` is by TLS.
module.exports = ({ site, foreign, secured, key, secret, hookSecret }) => {
    const websocket = { type: "websocket", url: `${site.replace("http", "ws")}/ws` };
    const type = "application/json";
    const posted = (body, headers = {}) => ({
        method: "POST",
        headers: { "Content-Type": type, ...headers },
        body: JSON.stringify(body),
    });

    return {
        "static, also for a page from elsewhere": async (tab) => {
            await tab.visit(`${foreign}/`);
            assert.match((await tab.call("ask", `${site}/page.js`)).text, /What the page does/);
            await tab.visit(`${site}/`);
            const part = await tab.call("ask", "/files/a%20%3Cb%3E.txt", { headers: { Range: "bytes=5-6" } });
            assert.deepEqual([part.status, part.text, part.type], [206, "is", "text/plain; charset=utf-8"]);
            assert.equal((await tab.call("ask", "/page.js", { method: "HEAD" })).type, "text/javascript; charset=utf-8");
            assert.equal((await tab.call("ask", "/page.js", { method: "POST" })).status, 405);
        },
        "listing": async (tab) => {
            await tab.visit(`${site}/files/`);
            assert.match(await tab.textOf("h1"), /files/);
            const there = await tab.evaluate("document.querySelector('a').href");
            assert.equal(there, `${site}/files/a%20%3Cb%3E%2Etxt`);
            await tab.visit(there);
            assert.equal(await tab.textOf("body"), "what is in it");
        },
        "nodeinfo": async (tab) => {
            await tab.visit(`${site}/info`);
            assert.equal(await tab.textOf("h1"), "crossring");
            await tab.visit(`${site}/`);
            const told = await tab.call("ask", "/info", { headers: { Accept: type } });
            assert.equal(JSON.parse(told.text).shards, 2);
        },
        "json, also for a page from elsewhere": async (tab) => {
            await tab.visit(`${site}/doc`);
            assert.deepEqual(JSON.parse(await tab.textOf("body")), { a: ["ü"] });
            await tab.visit(`${foreign}/`);
            const told = await tab.call("ask", `${site}/doc`, { credentials: "include" });
            assert.deepEqual(JSON.parse(told.text), { a: ["ü"] });
        },
        "redirect": async (tab) => {
            await tab.visit(`${site}/to/somewhere`);
            assert.equal(await tab.evaluate("location.pathname"), "/info");
        },
        "path": async (tab) => {
            await tab.visit(`${site}/deep/er/doc`);
            assert.equal(await tab.textOf("body"), "1");
            assert.equal(await tab.evaluate("fetch('/deep/none').then((answer) => answer.status)"), 404);
        },
        "publisher, also for a page from elsewhere": async (tab) => {
            for (const page of [site, foreign]) {
                await tab.visit(`${page}/`);
                const sent = posted({ topic: "com.browser.news", args: [1, "ü"], kwargs: { from: page } });
                const { answer, event } = await tab.call("hear", websocket, "com.browser.news", `${site}/push`, sent);
                assert.ok(answer.status === 200 && Number.isInteger(JSON.parse(answer.text).id), answer.text);
                assert.deepEqual(event, { args: [1, "ü"], kwargs: { from: page } });
            }
            const wrong = await tab.call("ask", `${site}/push`, posted({ topic: 1 }));
            assert.ok(wrong.status === 400 && wrong.text.includes("missing key 'topic'"), wrong.text);
        },
        "a signed publication": async (tab) => {
            await tab.visit(`${site}/`);
            const sent = posted({ topic: "com.browser.signed", args: [1] });
            const url = await tab.call("signed", "/signed", key, secret, sent.body);
            const { answer, event } = await tab.call("hear", websocket, "com.browser.signed", url, sent);
            assert.deepEqual([answer.status, event.args], [200, [1]]);
            const again = await tab.call("ask", url, sent);
            assert.ok(again.status === 401 && again.text.includes("used before"), again.text);
            const other = await tab.call("signed", "/signed", key, "another secret", sent.body);
            const refused = await tab.call("ask", other, sent);
            assert.ok(refused.status === 401 && refused.text.includes("secret not valid"), refused.text);
            assert.equal((await tab.call("ask", "/signed", sent)).status, 400);
        },
        "caller, also for a page from elsewhere": async (tab) => {
            const sent = posted({ procedure: "com.browser.reverse", args: [1, "ü"], kwargs: { a: null } });
            for (const page of [site, foreign]) {
                await tab.visit(`${page}/`);
                const answer = await tab.call("serve", websocket, "com.browser.reverse", `${site}/call`, sent);
                assert.deepEqual(JSON.parse(answer.text), { args: ["ü", 1], kwargs: { a: null } });
            }
            const nobody = await tab.call("ask", `${site}/call`, sent);
            assert.equal(JSON.parse(nobody.text).error, "wamp.error.no_such_procedure");
        },
        "a caller that requires TLS": async (tab) => {
            const sent = posted({ procedure: "wamp.session.count" });
            await tab.visit(`${site}/`);
            assert.equal((await tab.call("ask", "/safe", sent)).status, 400);
            await tab.visit(`${secured}/`);
            const { status, text } = await tab.call("ask", "/safe", sent);
            assert.ok(status === 200 && Number.isInteger(JSON.parse(text).args[0]), text);
        },
        "webhook, also for a page from elsewhere": async (tab) => {
            const sent = (signature) => posted({ pushed: "ü" }, { "X-Hub-Signature-256": `sha256=${signature}` });
            for (const page of [site, foreign]) {
                await tab.visit(`${page}/`);
                const good = sent(await tab.call("hex", hookSecret, sent("").body));
                const { answer, event } = await tab.call("hear", websocket, "com.browser.hook", `${site}/hook`, good);
                assert.deepEqual([answer.status, answer.text], [202, "OK"]);
                assert.equal(event.args[0].body, good.body);
                assert.deepEqual(event.args[0].headers.origin, [page]);
            }
            const bad = await tab.call("ask", `${site}/hook`, sent(await tab.call("hex", "another", "")));
            assert.ok(bad.status === 400 && bad.text.includes("GitHub signature"), bad.text);
        },
        "reverseproxy": async (tab) => {
            await tab.visit(`${site}/`);
            const answer = await tab.call("ask", "/back/a%20b?x=1", { method: "PUT", body: "ü".repeat(100_000) });
            const { method, url, headers, body } = JSON.parse(answer.text);
            assert.deepEqual([method, url, body], ["PUT", "/inner/a%20b?x=1", "ü".repeat(100_000)]);
            assert.equal(headers["x-forwarded-host"], new URL(site).host);
            assert.deepEqual([headers["x-real-ip"], headers["x-forwarded-proto"]], ["127.0.0.1", "http"]);
            assert.equal(headers.origin, site);
            assert.equal((await tab.call("ask", "/back/teapot")).status, 418);
            await tab.visit(`${site}/back/page`);
            assert.equal(JSON.parse(await tab.textOf("body")).url, "/inner/page");
        },
        "websockets through proxies": async (tab) => {
            await tab.visit(`${site}/`);
            const host = new URL(site).host;
            for (const [url, told] of [
                [`ws://${host}/back/room?x=1`, "/inner/room?x=1"],
                [`ws://${host}/echo`, "/chat"],
                [`${secured.replace("http", "ws")}/echo`, "/chat"],
            ]) {
                assert.deepEqual(await tab.call("echo", url), { told, text: "ü", size: 200_000, sum: 24_995_206, code: 1000 }, url);
            }
        },
        "cgi": async (tab) => {
            await tab.visit(`${site}/`);
            const told = await tab.call("ask", "/cgi/tell/more?a=b", { method: "POST", body: "ü\n" });
            assert.deepEqual([told.status, told.type, told.text], [200, "text/plain", "POST /more ?a=b\nü\n"]);
            assert.equal((await tab.call("ask", "/cgi/none")).status, 404);
            await tab.visit(`${site}/cgi/tell`);
            assert.equal((await tab.textOf("body")).trim(), "GET  ?");
        },
        "archive, also for a page from elsewhere": async (tab) => {
            await tab.visit(`${site}/packed/`);
            assert.equal(await tab.textOf("h1"), "Packed and run");
            await tab.visit(`${foreign}/`);
            assert.match((await tab.call("ask", `${site}/packed/app.js`)).text, /querySelector/);
        },
        "upload, also for a page from elsewhere": async (tab) => {
            for (const [page, name] of [[site, "one.txt"], [foreign, "two.txt"]]) {
                await tab.visit(`${page}/`);
                const content = "0123456789".repeat(25_000);
                const { answers, events } = await tab.call("upload", websocket, `${site}/up`, name, content, 100_000);
                assert.deepEqual(answers, [204, 200, 200, 204, 200, 200, 204, 200, 409]);
                assert.deepEqual(events, ["started", "progress", "progress", "finished"]);
                await tab.visit(`${site}/stored/${name}`);
                assert.equal(await tab.textOf("body"), content);
            }
        },
        "upload by a form": async (tab) => {
            await tab.visit(`${site}/`);
            const loaded = tab.load();
            await tab.call("submit", "/up", "ü \"3\".txt", "what is in it");
            await loaded;
            assert.equal(await tab.textOf("body"), "file stored\n");
            await tab.visit(`${site}/stored/`);
            assert.match(await tab.textOf("body"), /ü "3"\.txt/);
        },
        "HTTP/2 over TLS": async (tab) => {
            await tab.visit(`${secured}/`);
            assert.equal(await tab.textOf("h1"), "A page with AutobahnJS");
            const protocols = "performance.getEntries().filter((it) => it.nextHopProtocol).map((it) => it.nextHopProtocol)";
            assert.deepEqual(await tab.evaluate(protocols), ["h2", "h2", "h2"]);
            const behind = await tab.call("ask", "/back/h2", { method: "POST", body: "ü" });
            const { method, body, headers } = JSON.parse(behind.text);
            assert.deepEqual([method, body, headers["x-forwarded-proto"]], ["POST", "ü", "https"]);
            assert.equal((await tab.call("ask", "/cgi/tell", { method: "POST", body: "ü" })).text, "POST  ?\nü");
            assert.match((await tab.call("ask", "/packed/app.js")).text, /querySelector/);
            assert.ok(Number.isInteger(JSON.parse((await tab.call("ask", "/push", posted({ topic: "com.browser.h2" }))).text).id));
            assert.ok((await tab.evaluate(protocols)).every((protocol) => protocol === "h2"));
        },
        "what is not for pages from elsewhere": async (tab) => {
            await tab.visit(`${foreign}/`);
            for (const path of ["/info", "/to", "/cgi/tell", "/back/page", "/files/", "/ws"]) {
                await assert.rejects(tab.call("ask", site + path), /Failed to fetch/, path);
            }
        },
    };
};
