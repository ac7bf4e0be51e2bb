'use strict';
// As worker.py. HALF_OPEN=no in the environment has a FIN end both sides.

const crypto = require('node:crypto');
const { once } = require('node:events');
const net = require('node:net');
const { PassThrough } = require('node:stream');
const { text } = require('node:stream/consumers');
const { pipeline } = require('node:stream/promises');
const portreeve = require('../../examples/node/portreeve.js');

const CHUNK = Buffer.alloc(64 * 1024);
const [listener, target] = process.argv.slice(2);
let go;

function report(values) {
  console.log(`report ${JSON.stringify(values)}`);
}

function sizeOf(socket) {
  return new Promise((resolve) => {
    let size = 0;
    socket.on('data', (data) => { size += data.length; });
    socket.once('end', () => resolve(size));
  });
}

function flood(socket, count) {
  let left = count;
  const more = () => {
    while (left-- > 0) {
      if (!socket.write(CHUNK)) return socket.once('drain', more);
    }
    return socket.end();
  };
  more();
}

const commands = {
  echo(socket) {
    socket.write(`${process.pid}\n`);
    socket.pipe(socket);
  },

  stall() {},

  flood(socket) {
    flood(socket, Infinity);
    socket.resume();
  },

  eof_first(socket) {
    socket.end('bye\n');
    const digest = crypto.createHash('sha256');
    let size = 0;
    socket.on('data', (data) => {
      digest.update(data);
      size += data.length;
    });
    socket.once('end', () => report({ size, sha256: digest.digest('hex') }));
  },

  async eof_last(socket, count) {
    socket.write(`${await sizeOf(socket)}\n`);
    flood(socket, Number(count));
  },

  reset(socket) {
    socket.resetAndDestroy();
  },

  async follow(socket, how) {
    const told = { size: 0, end: false, lost: null };
    socket.on('error', (error) => { told.lost = error.code; });
    socket.once('close', () => {
      report({ ...told, reason: socket.closeReason ?? null });
    });
    socket.write('ready\n');
    if (how === 'waits' || how === 'aborts later') {
      await new Promise((resolve) => { go = resolve; });
    }
    if (how === 'iterates') {
      try {
        for await (const data of socket) told.size += data.length;
        told.end = true;
      } catch {} // It is an 'error', too.
    } else if (how === 'leaves') {
      socket.destroy();
    } else if (how.startsWith('aborts')) {
      socket.resetAndDestroy();
    } else if (how !== 'is deaf') {
      socket.on('data', (data) => { told.size += data.length; });
      socket.once('end', () => {
        told.end = true;
        if (how === 'ends') socket.end('ended\n');
        else socket.write('ended\n');
      });
    }
  },

  async later(socket, how) {
    socket.write('ready\n');
    await new Promise((resolve) => { go = resolve; });
    if (how === 'writes') socket.write('later\n');
    else if (how === 'ends') socket.end();
    report({ size: how === 'leaves' ? 0 : await sizeOf(socket) });
    socket.destroy();
  },

  let_go(socket) {
    go();
    socket.destroy();
  },

  fail(socket, message) {
    socket.write('flushed\n');
    throw new Error(message);
  },

  // Takes and gives until the peer has ended, and catches nothing.
  async need(socket, how) {
    socket.write('ready\n');
    if (how === 'iterates') {
      for await (const data of socket) socket.write(data);
      socket.end();
    } else if (how === 'pipeline') {
      await pipeline(socket, new PassThrough(), socket);
    } else if (how === 'text') {
      socket.end(await text(socket));
    } else if (how === 'generator') {
      await pipeline(socket, async function* (source) {
        for await (const data of source) yield data;
      }, socket);
    } else if (how === 'flood') {
      await pipeline(async function* () {
        while (true) yield CHUNK;
      }, socket);
    }
  },

  // Has more to say than fits when the peer's FIN ends this side, and then goes
  // on in one of these ways, whose error it reports.
  async late(socket, how) {
    socket.write(Buffer.alloc(1 << 24));
    socket.on('error', ({ code }) => report({ code }));
    socket.resume();
    await once(socket, 'end');
    await new Promise(setImmediate);
    if (how === 'writes') socket.write('late');
    if (how === 'ends') socket.end('late');
    if (how === 'throws') throw new Error('not late');
    if (how === 'writes elsewhere') {
      const other = new PassThrough();
      other.end();
      other.write('late');
      await once(other, 'close');
    }
  },

  async leave(socket) {
    for await (const data of socket) {
      socket.write(data);
      break;
    }
  },

  // Does wrong in one of these ways; a port may follow.
  async err(socket, argument) {
    const [how, port] = argument.split(' ');
    if (how === 'iterates') {
      for await (const data of socket) throw new Error(`${data.length} in a loop`);
    } else if (how === 'generates') {
      await pipeline(socket, async function* (source) {
        for await (const data of source) yield data.of.no.such;
      }, socket);
    }
    socket.resume();
    await once(socket, 'end');
    if (how === 'writes') {
      socket.end();
      socket.write('after the end');
    } else if (how === 'parses') {
      throw Object.assign(new Error('not HTTP'), { code: 'HPE_INVALID_METHOD' });
    } else if (how === 'destroys') {
      socket.destroy(new Error('of its own'));
    } else if (how === 'own') {
      throw Object.assign(new Error('of its own'), { code: 'ECONNRESET' });
    } else if (how === 'far') {
      const far = net.connect(Number(port), '127.0.0.1');
      await text(far);
    }
  },

  async dial(socket, port) {
    const far = await portreeve.dial({ target, host: '127.0.0.1', port });
    far.end('dialled\n');
    far.pipe(socket);
  },

  async relay(socket, port) {
    const far = await portreeve.dial({
      target, host: '127.0.0.1', port, allowHalfOpen: true,
    });
    await Promise.all([pipeline(socket, far), pipeline(far, socket)]);
  },

  async dial_follow(socket, argument) {
    const [port, ...how] = argument.split(' ');
    const far = await portreeve.dial({
      target, host: '127.0.0.1', port, allowHalfOpen: true,
    });
    await commands.follow(far, how.join(' '));
  },

  async dial_refused(socket, port) {
    try {
      await portreeve.dial({ target, host: '127.0.0.1', port });
    } catch (error) {
      if (error.code === 14) socket.end('refused\n');
    }
  },
};

function readLine(socket) {
  return new Promise((resolve) => {
    let line = Buffer.alloc(0);
    const more = () => {
      for (let data; (data = socket.read()) !== null;) {
        line = Buffer.concat([line, data]);
        const at = line.indexOf('\n');
        if (at < 0) continue;
        socket.off('readable', more);
        if (at + 1 < line.length) socket.unshift(line.subarray(at + 1));
        resolve(line.toString('utf8', 0, at));
        return;
      }
    };
    socket.on('readable', more);
  });
}

async function handle(socket) {
  const [command, ...rest] = (await readLine(socket)).split(' ');
  await commands[command](socket, rest.join(' '));
}

function onHandlerError(connection, message) {
  report({ connection, message });
  if (process.env.VERDICT !== 'return') throw new Error('it shall close');
}

async function main() {
  const allowHalfOpen = process.env.HALF_OPEN !== 'no';
  const { RETRY_FOR } = process.env;
  const retryFor = RETRY_FOR && 1000 * RETRY_FOR;
  const options =
      { target, listener, allowHalfOpen, onHandlerError, retryFor };
  await portreeve.serve(options, handle);
  console.log('serving');
}

main();
