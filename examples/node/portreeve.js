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
const {
  MOST_MOVES, hasMoved, hasReason, isOfGrpc, repeated,
} = require('./portreeve_move.js');
const { Retry } = require('./portreeve_retry.js');
const { attachFrame, openSocket } = require('./portreeve_socket.js');
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
const CONTROL_SOCKET = '/run/portreeve/control';

// As the CLI's; no unix socket speaks TLS.
function defaultServer() {
  if (process.env.PORTREEVE_TLS_CA) return DEFAULT_SERVER;
  try {
    if (fs.statSync(CONTROL_SOCKET).isSocket()) return `unix:${CONTROL_SOCKET}`;
  } catch {
    // There is none, or none that this user may see.
  }
  return DEFAULT_SERVER;
}

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

// With these a stream ends that was lost, on the way or with its daemon. A
// listener that is not there once it has been there is waited for, too.
const LOST = [
  'ABORTED', 'CANCELLED', 'DEADLINE_EXCEEDED', 'INTERNAL', 'NOT_FOUND',
  'RESOURCE_EXHAUSTED', 'UNAVAILABLE', 'UNKNOWN',
].map((name) => grpc.status[name]);

/**
 * A channel to one daemon; serve() and dial() take it as `target`. `address` is
 * like "127.0.0.1:50051" or "unix:/run/p.sock"; by default PORTREEVE_SERVER,
 * else unix:/run/portreeve/control if that is a socket and there is no
 * PORTREEVE_TLS_CA, else tcp:127.0.0.1:50051. Without `credentials` they are those that
 * PORTREEVE_TLS_CA and the others tell, else none. Throws TypeError for what is
 * no address, and what the files of TLS give.
 */
class Daemon {
  constructor(address, credentials) {
    const options = {
      'grpc.enable_retries': 0,
      // How long calls fail at once after a connection could not be made:
      // shorter than the waits of Retry.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1000,
    };
    credentials ??= credentialsOfEnvironment(options);
    const target = text.target(
        address || process.env.PORTREEVE_SERVER || defaultServer());
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
 * daemon has been lost for `retryFor`, or refuses when it is back; 'close' when no connection is offered any more and none is
 * left, as after close() or when the listener has closed.
 */
class Server extends EventEmitter {
  #daemon;
  #handle;
  #options;
  #sockets = new Set();
  #opening = 0;
  #ended = false; // Whether the last Handle stream has.
  #closing = false;
  #retry;
  #waiting = null; // For the next try.
  #isLost = false; // And somebody was told.
  #moves = 0; // Tries since the daemon has moved; 0: it has not.

  constructor(daemon, options) {
    super();
    this.#daemon = daemon;
    this.#options = {
      ...options,
      listener: text.listenerName(options.listener),
    };
    this.#retry = new Retry(options.retryFor);
  }

  /** Resolves once connections are offered. */
  async start() {
    try {
      await repeated(() => this.#join());
    } catch (error) {
      this.#end();
      throw error;
    }
    return this;
  }

  /** Makes this a worker of the listener; what ends that then is #lose()d. */
  #join() {
    return new Promise((resolve, reject) => {
      let joined = false;
      let over = false; // An 'end' comes before the 'error' that explains it.
      const handle = this.#daemon.handlers.Handle();
      this.#handle = handle;
      const end = (error) => {
        if (over) return;
        over = true;
        if (joined) this.#lose(error);
        else reject(error ?? new Error('the daemon shuts down'));
      };
      handle.on('error', () => {}); // 'status' tells it, too.
      handle.on('status', ({ code, details, metadata }) => {
        const isOk = code === grpc.status.OK;
        end(isOk ? null : Object.assign(
            new Error(`${code} ${grpc.status[code]}: ${details}`),
            { code, details, metadata }));
      });
      handle.on('data', (answer) => this.#receive(handle, answer));
      handle.once('metadata', () => {
        // A refusal has arrived before the answer to a later request.
        this.#getListener().then((answer) => {
          if (over) return;
          joined = true;
          this.listener = answer;
          this.#retry.onStart();
          this.#moves = 0;
          resolve();
        }, (error) => {
          handle.cancel();
          reject(error);
        });
      });
      handle.write({ start: this.#startMessage() });
    });
  }

  #startMessage() {
    const { listener, progressInterval = 20_000 } = this.#options;
    if (progressInterval === null) return { listener };
    const seconds = Math.floor(progressInterval / 1000);
    const nanos = Math.round((progressInterval - seconds * 1000) * 1e6);
    return { listener, progress_interval: { seconds, nanos } };
  }

  #getListener() {
    return repeated(() => new Promise((resolve, reject) => {
      this.#daemon.listeners.GetListener(
          { name: this.#options.listener },
          (error, answer) => error ? reject(error) : resolve(answer));
    }));
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
    if (this.#waiting !== null) {
      clearTimeout(this.#waiting);
      this.#end();
    }
    this.#handle.cancel();
    return this;
  }

  /** Resets every connection. */
  closeAllConnections() {
    for (const socket of this.#sockets) socket.cancel();
  }

  #receive(handle, answer) {
    if (answer.kind === 'offer') {
      this.#open(answer.offer.connection.name);
    } else if (answer.kind === 'handler_error') {
      this.#judge(handle, answer.handler_error);
    }
  }

  async #open(connection) {
    this.#opening++;
    try {
      const attach = () => this.#daemon.connections.Attach();
      const socket = await openSocket(
          attach(), attachFrame(connection), attach, this.#options);
      this.#sockets.add(socket);
      // What it means is told by `raised`; it does not end the process.
      socket.on('error', () => {});
      socket.once('close', () => {
        this.#sockets.delete(socket);
        this.#checkClosed();
      });
      this.#run(socket);
    } catch {
      // The peer has left, or another worker was faster; or the daemon's
      // process was replaced, and the next one offers it anew.
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

  async #judge(handle, { id, connection, message }) {
    const { onHandlerError } = this.#options;
    let verdict = 'HANDLER_VERDICT_RAISE';
    try {
      await onHandlerError?.(connection, message);
      if (onHandlerError) verdict = 'HANDLER_VERDICT_RETURN';
    } catch (error) {
      process.emitWarning(error);
    }
    // Who has asked may be lost: then this goes nowhere.
    handle.write({ verdict: { handler_error_id: id, verdict } });
  }

  /** The Handle stream has ended, or none could be had. */
  async #lose(error) {
    if (this.#closing || (error && hasReason(error, 'LISTENER_CLOSED'))) {
      return this.#end();
    }
    if (error && !LOST.includes(error.code)) return this.#end(error);
    if (!error && await this.#isClosedForGood()) return this.#end();
    if (this.#closing) return this.#end();
    const isMoving = error && this.#isMoving(error);
    // The next process is there already.
    if (isMoving && this.#moves === 1) return this.#rejoin();
    const wait = this.#retry.onEnd();
    const why = error ? error.message : 'it shuts down';
    if (wait === null) {
      return this.#end(error ?? new Error('the daemon has shut down'));
    }
    if (!isMoving) {
      this.#isLost = true;
      process.emitWarning(
          `${this.#options.listener}: the daemon was lost (${why}); trying ` +
          `again in ${Math.round(wait)} ms`, 'PortreeveWarning');
    }
    this.#waiting = setTimeout(() => {
      this.#waiting = null;
      this.#rejoin();
    }, wait);
  }

  /**
   * Whether this is the end of one process whose next one is there, which the
   * former may tell a few times before its connection has ended.
   */
  #isMoving(error) {
    const mayBeKnown =
        this.#moves > 0 && isOfGrpc(error, grpc.status.CANCELLED);
    if (!(hasMoved(error) || mayBeKnown) || this.#moves === MOST_MOVES) {
      return false;
    }
    this.#moves++;
    return true;
  }

  async #rejoin() {
    try {
      await this.#join();
    } catch (failed) {
      this.#lose(failed);
      return;
    }
    if (!this.#isLost) return;
    this.#isLost = false;
    process.emitWarning(
        `${this.#options.listener}: back`, 'PortreeveWarning');
  }

  /**
   * Of a stream that ended in order; the daemon's own end closes its listeners,
   * too.
   */
  async #isClosedForGood() {
    try {
      const { status } = await this.#getListener();
      return status.close_cause !== 'CLOSE_CAUSE_SHUTDOWN';
    } catch (error) {
      return error.code === grpc.status.NOT_FOUND;
    }
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
 * return lets the listener go on, its exception closes it, the default;
 * progressInterval: the daemon gives a sign of life after so many milliseconds
 * without an offer, 1000 to 3 600 000, default 20 000, null: it does not, so
 * that proxies that cut idle streams let this one live; retryFor.
 *
 * When the daemon is lost or shuts down, its connections are cut, and the
 * server comes back as soon as the daemon and the listener are there again, with
 * waits of up to 10 s, for `retryFor` milliseconds, by default for ever; 0: not
 * at all. Warnings of the process say so, on stderr. Of an upgrade of the
 * daemon nothing is to be seen: the server and its connections go on in the
 * daemon's next process.
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
  const frame = { where_to_connect: where, can_move: true };
  if (timeout !== undefined) {
    const seconds = Math.floor(timeout / 1000);
    frame.timeout = { seconds, nanos: (timeout - seconds * 1000) * 1e6 };
  }
  const daemon = daemonOf(target);
  const close = () => target !== daemon && daemon.close();
  try {
    const attach = () => daemon.connections.Attach();
    const socket = await repeated(() => openSocket(
        daemon.connections.Dial(), { dial: frame }, attach, options), false);
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
