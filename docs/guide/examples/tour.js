// Subscribe, publish, register and call from JavaScript; start tour.py first.
//
//     npm install autobahn ws
//     node tour.js [ws://127.0.0.1:8080/ws]
globalThis.WebSocket ??= require("ws"); // Node.js has it from version 22 on
const autobahn = require("autobahn");

const url = process.argv[2] ?? "ws://127.0.0.1:8080/ws";
const connection = new autobahn.Connection({ url, realm: "realm1" });

connection.onopen = async (session, details) => {
    console.log(`joined ${details.realm} as session ${session.id}`);
    await session.register("com.example.shout", ([name]) => name.toUpperCase());
    await session.subscribe("com.example.answer", ([text]) => {
        console.log(`answer: ${text}`);
        connection.close();
    });

    console.log(`2 + 3 = ${await session.call("com.example.add", [2, 3])}`);
    session.publish("com.example.greeting", ["JavaScript"]);
};

connection.open();
