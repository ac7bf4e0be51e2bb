#!/usr/bin/env node
'use strict';
// Node's own HTTP server: http_server.js [LISTENER [DAEMON]]
//
// Answers every request with its method, its path and the size of its body. Its
// listener is made with `--remote --on-handler-error ignore`, so that what goes
// wrong with one client does not close the port for all.

const http = require('node:http');
const portreeve = require('./portreeve.js');

const [listener = 'http', target] =
    process.argv.slice(2);

const web = http.createServer((request, response) => {
  let size = 0;
  request.on('data', (data) => { size += data.length; });
  request.once('end', () => {
    response.end(`${request.method} ${request.url}, ${size} bytes\n`);
  });
});

async function main() {
  // As http.Server's own sockets: it answers after the client's FIN, too.
  const options = { target, listener, allowHalfOpen: true };
  const server = await portreeve.serve(options, (socket) => {
    web.emit('connection', socket);
  });
  console.log('serving', server.address());
}

main();
