#!/usr/bin/env node
'use strict';
// Sends every line to everyone else: chat_server.js [LISTENER [DAEMON]]

const readline = require('node:readline');
const portreeve = require('./portreeve.js');

const [listener = 'listeners/chat', target = '127.0.0.1:50051'] =
    process.argv.slice(2);
const sockets = new Set();

function tell(from, line) {
  for (const socket of sockets) {
    if (socket === from) continue;
    socket.write(`${line}\n`);
    if (socket.writableLength > 1 << 20) socket.resetAndDestroy();
  }
}

async function chat(socket) {
  const name = socket.connection.name;
  sockets.add(socket);
  socket.once('close', () => {
    sockets.delete(socket);
    tell(null, `* ${name} has left`);
  });
  tell(null, `* ${name} is here`);
  readline.createInterface({ input: socket })
      .on('line', (line) => tell(socket, `<${name}> ${line}`))
      .on('error', () => {}); // The socket's: 'close' is enough.
}

async function main() {
  const server = await portreeve.serve({ target, listener }, chat);
  console.log('serving', server.address());
}

main();
