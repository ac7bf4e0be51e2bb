'use strict';
// Node's server shape for the listeners of a Portreeve daemon:
//
//   const server = await portreeve.serve(options, (socket) => {...});
//
// `socket` is a Duplex (portreeve_socket.js) over one gRPC stream of a daemon,
// whose flow control carries the back-pressure to and from the peer's socket.

const { EventEmitter } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');
const { openSocket } = require('./portreeve_socket.js');
const text = require('./portreeve_text.js');

const PROTO = process.env.PORTREEVE_PROTO ||
    path.join(__dirname, '..', '..', 'proto');

const definition = protoLoader.loadSync(
    ['connection', 'handler', 'listener'].map(
        (file) => `portreeve/v1/${file}.proto`),
    {
      includeDirs: [PROTO],
      keepCase: true,
      longs: Number,
      enums: String,
      oneofs: true,
    });
const v1 = grpc.loadPackageDefinition(definition).portreeve.v1;

const DEFAULT_SERVER = 'tcp:127.0.0.1:50051';

// As the CLI's, from PORTREEVE_TLS_CA, _CERT, _KEY and _SERVER_NAME.
function credentialsOfEnvironment(options) {
  const variable = (name) => process.env[`PORTREEVE_TLS_${name}`] || undefined;
  const [ca, cert, key, name] =
      ['CA', 'CERT', 'KEY', 'SERVER_NAME'].map(variable);
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError('PORTREEVE_TLS_CERT and PORTREEVE_TLS_KEY go together');
  }
  if (ca === undefined) {
    if (cert !== undefined || name !== undefined) {
      throw new TypeError('PORTREEVE_TLS_... need PORTREEVE_TLS_CA');
    }
    return grpc.credentials.createInsecure();
  }
  if (name !== undefined) options['grpc.ssl_target_name_override'] = name;
  const read = (file) => file === undefined ? null : fs.readFileSync(file);
  return grpc.credentials.createSsl(read(ca), read(key), read(cert));
}

/**
 * A channel to one daemon; serve() and dial() take it as `target`. `address` is
 * like "127.0.0.1:50051" or "unix:/run/p.sock"; by default PORTREEVE_SERVER,
 * else tcp:127.0.0.1:50051. Without `credentials` they are those that
 * PORTREEVE_TLS_CA and the others tell, else none. Throws TypeError for what is
 * no address, and what the files of TLS give.
 */
class Daemon {
  constructor(address, credentials) {
    const options = { 'grpc.enable_retries': 0 };
    credentials ??= credentialsOfEnvironment(options);
    const target = text.target(
        address || process.env.PORTREEVE_SERVER || DEFAULT_SERVER);
    this.connections = new v1.ConnectionService(target, credentials, options);
    const channel = { channelOverride: this.connections.getChannel() };
    this.handlers = new v1.HandlerService(target, credentials, channel);
    this.listeners = new v1.ListenerService(target, credentials, channel);
  }

  close() {
    this.connections.close();
  }
}

/**
 * What serve() resolves to. Emits 'connection' (socket); 'error' when the
 * daemon is lost; 'close' when no connection is offered any more and none is
 * left, as after close() or when the listener has closed.
 */
class Server extends EventEmitter {
  #daemon;
  #handle;
  #options;
  #sockets = new Set();
  #opening = 0;
  #ended = false; // Whether the Handle stream has.
  #closing = false;

  constructor(daemon, options) {
    super();
    this.#daemon = daemon;
    this.#options = options;
  }

  /** Resolves once connections are offered. */
  start() {
    return new Promise((resolve, reject) => {
      const listener = text.listenerName(this.#options.listener);
      this.#handle = this.#daemon.handlers.Handle();
      this.#handle.once('error', reject);
      this.#handle.on('error', (error) => this.#end(error));
      this.#handle.on('end', () => this.#end());
      this.#handle.on('data', (answer) => this.#receive(answer));
      this.#handle.once('metadata', () => {
        // A refusal has arrived before the answer to a later request.
        const request = { name: listener };
        this.#daemon.listeners.GetListener(request, (error, answer) => {
          this.listener = answer;
          if (error) reject(error);
          else resolve(this);
        });
      });
      this.#handle.write({ start: { listener } });
    });
  }

  /** As net.Server: {address, port}, or the path of a unix socket. */
  address() {
    const where = this.listener.status.listening_on;
    return where.inet || where.unix_socket.path;
  }

  /** Takes no more connections; those that there are live on. */
  close(callback) {
    if (callback) this.once('close', callback);
    this.#closing = true;
    this.#handle.cancel();
    return this;
  }

  /** Resets every connection. */
  closeAllConnections() {
    for (const socket of this.#sockets) socket.cancel();
  }

  #receive(answer) {
    if (answer.kind === 'offer') {
      this.#open(answer.offer.connection.name);
    } else {
      this.#judge(answer.handler_error);
    }
  }

  async #open(connection) {
    this.#opening++;
    try {
      const call = this.#daemon.connections.Attach();
      const socket = await openSocket(
          call, { attach: { connection } }, this.#options);
      this.#sockets.add(socket);
      // What it means is told by `raised`; it does not end the process.
      socket.on('error', () => {});
      socket.once('close', () => {
        this.#sockets.delete(socket);
        this.#checkClosed();
      });
      this.#run(socket);
    } catch {
      // The peer has left, or another worker was faster.
    } finally {
      this.#opening--;
      this.#checkClosed();
    }
  }

  async #run(socket) {
    try {
      for (const handler of this.listeners('connection')) await handler(socket);
    } catch (error) {
      socket.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  async #judge({ id, connection, message }) {
    const { onHandlerError } = this.#options;
    let verdict = 'HANDLER_VERDICT_RAISE';
    try {
      await onHandlerError?.(connection, message);
      if (onHandlerError) verdict = 'HANDLER_VERDICT_RETURN';
    } catch (error) {
      process.emitWarning(error);
    }
    this.#handle.write({ verdict: { handler_error_id: id, verdict } });
  }

  #end(error) {
    if (this.#ended) return;
    this.#ended = true;
    // Before serve() has resolved it rejects instead.
    if (error && !this.#closing && this.listener) this.emit('error', error);
    this.#checkClosed();
  }

  #checkClosed() {
    if (!this.#ended || this.#opening > 0 || this.#sockets.size > 0) return;
    if (this.#options.target !== this.#daemon) this.#daemon.close();
    this.emit('close');
  }
}

function daemonOf(target) {
  return target instanceof Daemon ? target : new Daemon(target);
}

/**
 * Serves connections of a listener whose handler is `remote`.
 *
 * `options`: target (as the address of a Daemon, or a Daemon), listener (its
 * name or ID), allowHalfOpen (as net.createServer; default: false),
 * onHandlerError(connection, message), where the listener's policy is CALL: its
 * return lets the listener go on, its exception closes it, the default.
 *
 * What `handler` throws or rejects with is a handler error of the listener,
 * unless the peer has ended or reset the connection; see PortreeveSocket.
 * Rejects with the error of gRPC where the daemon refuses.
 */
function serve(options, handler) {
  const server = new Server(daemonOf(options.target), options);
  server.on('connection', handler);
  return server.start();
}

/**
 * Connects from the daemon's machine; resolves to the socket.
 *
 * `options`: target, as of serve(); host and port, or path, or address, like
 * "tcp:example.org:80"; timeout in
 * milliseconds, the lookup of the name included; allowHalfOpen. Rejects with
 * the error of gRPC.
 */
async function dial(options) {
  const { target, address, host, port, path: unixPath, timeout } = options;
  let where = unixPath === undefined ?
      { inet: { host, port } } :
      { unix_socket: { path: unixPath } };
  if (address !== undefined) where = text.whereToConnect(address);
  const frame = { where_to_connect: where };
  if (timeout !== undefined) {
    const seconds = Math.floor(timeout / 1000);
    frame.timeout = { seconds, nanos: (timeout - seconds * 1000) * 1e6 };
  }
  const daemon = daemonOf(target);
  const close = () => target !== daemon && daemon.close();
  try {
    const call = daemon.connections.Dial();
    const socket = await openSocket(call, { dial: frame }, options);
    socket.once('close', close);
    return socket;
  } catch (error) {
    close();
    throw error;
  }
}

module.exports = {
  Daemon, Server, dial, serve,
  whereToConnect: text.whereToConnect, whereToListen: text.whereToListen,
};
