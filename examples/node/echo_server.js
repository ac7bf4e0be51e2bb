#!/usr/bin/env node
'use strict';
// Sends back what it receives: echo_server.js [LISTENER [DAEMON]]
//
// Its listener is made with `--remote --on-handler-error ignore`, so that what goes
// wrong with one client does not close the port for all.

const portreeve = require('./portreeve.js');

const [listener = 'echo', target] =
    process.argv.slice(2);

async function main() {
  const server = await portreeve.serve({ target, listener }, (socket) => {
    socket.pipe(socket);
  });
  console.log('serving', server.address());
}

main();
