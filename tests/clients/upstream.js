// The server behind the proxies: tells what it was asked, and sends back what comes through a WebSocket.
// Prints its port; ends with its standard input.
"use strict";

const http = require("node:http");
const { text } = require("node:stream/consumers");
const { WebSocketServer } = require("ws");

const server = http.createServer(async (request, response) => {
    const { method, url, headers } = request;
    const told = { method, url, headers, body: await text(request) };
    response.writeHead(url.endsWith("/teapot") ? 418 : 200, { "Content-Type": "application/json", "X-Upstream": "node" });
    response.end(JSON.stringify(told));
});

new WebSocketServer({ server }).on("connection", (socket, request) => {
    socket.send(request.url);
    socket.on("message", (message, isBinary) => socket.send(message, { binary: isBinary }));
});

server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
process.stdin.resume().on("end", () => process.exit());
