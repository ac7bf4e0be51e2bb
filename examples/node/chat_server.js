#!/usr/bin/env node
'use strict';
// Sends every line to everyone else: chat_server.js [LISTENER [DAEMON]]
//
// Its listener is made with `--remote --on-handler-error ignore`, so that what goes
// wrong with one client does not close the port for all.

const readline = require('node:readline');
const portreeve = require('./portreeve.js');

const [listener = 'chat', target] =
    process.argv.slice(2);
const MAX_LINE = 64 * 1024;
const sockets = new Set();

function tell(from, line) {
  for (const socket of sockets) {
    if (socket === from) continue;
    socket.write(`${line}\n`);
    if (socket.writableLength > 1 << 20) socket.resetAndDestroy();
  }
}

/** Lets a client go whose line has no end: readline would keep all of it. */
function boundLines(socket) {
  let length = 0;
  socket.on('data', (data) => {
    const end = data.lastIndexOf('\n');
    length = end < 0 ? length + data.length : data.length - end - 1;
    if (length > MAX_LINE) socket.destroy();
  });
}

async function chat(socket) {
  const name = socket.connection.name;
  sockets.add(socket);
  socket.once('close', () => {
    sockets.delete(socket);
    tell(null, `* ${name} has left`);
  });
  tell(null, `* ${name} is here`);
  boundLines(socket);
  readline.createInterface({ input: socket })
      .on('line', (line) => tell(socket, `<${name}> ${line}`))
      .on('error', () => {}); // The socket's: 'close' is enough.
}

async function main() {
  const server = await portreeve.serve({ target, listener }, chat);
  console.log('serving', server.address());
}

main();
