'use strict';
// A stream that is a socket, as a Duplex of Node.

const { Duplex } = require('node:stream');
const { MOVE_FOR, Move, mayAttachAgain } = require('./portreeve_move.js');
const { Retry } = require('./portreeve_retry.js');

// Bytes in one frame.
const MAX_FRAME = 64 * 1024;
// Milliseconds that resetAndDestroy() gives the daemon to take the frame.
const RESET_TIMEOUT = 1000;
const MAX_MESSAGE = 1024;
// Why a connection closes that both sides have ended.
const IN_ORDER = ['PEER_CLOSED', 'HANDLER_DONE', 'HANDLER_ERROR'];

function lossError(code, message, syscall = 'read') {
  return Object.assign(new Error(message), { code, syscall });
}

/** Whether it is what an http.Server makes of a peer: its 'clientError'. */
function isClientError({ code }) {
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' || /^HPE_/.test(code);
}

function socketName(address) {
  return address?.inet || { address: address?.unix_socket?.path };
}

/**
 * A connection of the daemon: the stream of one Attach or Dial.
 *
 * As net.Socket: end() sends FIN; without `allowHalfOpen` the peer's FIN ends
 * this side too; the peer's reset is the error ECONNRESET, after the data before
 * it and with no 'end', and what was cut otherwise ECONNABORTED. When both sides
 * have ended the handler has (`done`); the error comes then where the flush may
 * not be whole. destroy() ends it before, destroy(error) and the rejection of a
 * listener are a handler error (`raised`), resetAndDestroy() sends RST; after
 * these there is no further error, but `closeReason`. 'close' comes when the
 * daemon has closed its socket, or the stream has broken.
 *
 * What the peer has caused is `done` and no handler error: to write after its
 * FIN has ended this side (EPIPE), and what an http.Server cannot read. Nor does
 * its FIN end more than a `for await` loop.
 *
 * An upgrade of the daemon shows in nothing but a pause: the connection goes on
 * over another stream, with the daemon's next process. While reading is paused
 * the former process serves it, for as long as the upgrade lets it.
 */
class PortreeveSocket extends Duplex {
  #call;
  #end = null; // The frame that ends the handler.
  #eof = false; // Whether the peer's came.
  #endedByPeer = false; // Whether that is why this side has ended.
  #lateWrite = null; // The error of a write after that.
  #over = null; // How the stream has ended: {reason} or {error}.
  #onOver = () => {};
  #cancelled = false;
  #attach;
  #move = new Move();
  #waiting = []; // What is to be sent on the next stream.
  #wake = () => {}; // Ends the wait before that.

  /**
   * `call` has answered `opened`. What comes then is taken before anyone reads,
   * as of a net.Socket, so that a handler that only writes learns of a reset.
   * `status` resolves to the end of the call; attach() makes an Attach call.
   */
  constructor(call, status, connection, attach, options = {}) {
    const { allowHalfOpen = false } = options;
    super({ allowHalfOpen, captureRejections: true });
    this.#attach = attach;
    this.connection = connection;
    const peer = socketName(connection.peer);
    const local = socketName(connection.local);
    this.remoteAddress = peer.address;
    this.remotePort = peer.port;
    this.localAddress = local.address;
    this.localPort = local.port;
    // Ahead of all listeners that may end this side, too.
    this.once('end', () => {
      this.#endedByPeer = !this.allowHalfOpen && !this.writableEnded;
    });
    this.#take(call, status);
  }

  #take(call, status) {
    this.#call = call;
    call.on('data', (frame) => this.#receive(frame));
    call.on('error', (error) => this.#finish({ error }));
    // 'error' tells of a status that is not OK.
    call.on('end', () => status.then(() => this.#endLeg()));
  }

  /** A stream has ended without `closed`, unless it was over before. */
  async #endLeg() {
    if (this.#over) return;
    if (!this.#move.goesOn(true)) {
      this.#finish({ error: new Error('no `closed`') });
      return;
    }
    const retry = new Retry(MOVE_FOR);
    for (let wait = 0; wait !== null;) {
      try {
        await this.#attachAgain();
        return;
      } catch (error) {
        wait = mayAttachAgain(error) && !this.#cancelled ? retry.onEnd() : null;
        if (wait === null) this.#finish({ error });
        else await this.#sleep(wait);
      }
    }
  }

  #attachAgain() {
    this.#call = this.#attach();
    const first = attachFrame(this.connection.name);
    const opened = open(this.#call, first, (_, status) => {
      this.#take(this.#call, status);
      if (this.#move.onOpened()) this.#send({ eof: {} });
      for (const send of this.#waiting.splice(0)) send();
    });
    if (this.#cancelled) this.#call.cancel();
    return opened;
  }

  #sleep(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Why the daemon closed it, like 'PEER_RESET'; undefined before. */
  get closeReason() {
    return this.#over?.reason;
  }

  /** RST at once; what is not sent yet is dropped. */
  resetAndDestroy() {
    if (this.destroyed) {
      this.cancel(); // Cuts the flush short.
    } else {
      this.#end = { reset: {} };
      this.destroy();
    }
    return this;
  }

  /** Breaks the stream, which resets the connection as CLIENT_GONE. */
  cancel() {
    this.#cancelled = true;
    this.#call.cancel();
    this.#wake();
  }

  write(...chunk) {
    this.#failIfLate(...chunk);
    return super.write(...chunk);
  }

  end(...chunk) {
    this.#failIfLate(...chunk);
    return super.end(...chunk);
  }

  /** Of Node's own Duplex a write that comes too late is its user's fault. */
  #failIfLate(chunk) {
    const isData = chunk != null && typeof chunk !== 'function';
    if (!isData || !this.#endedByPeer || !this.writableEnded) return;
    if (this.destroyed) return;
    this.#lateWrite = lossError(
        'EPIPE', 'This socket has been ended by the other party', 'write');
    this.destroy(this.#lateWrite);
  }

  /**
   * Node's own would destroy this with an AbortError at the end of a loop, even
   * if that is the peer's FIN. Here the FIN is no more than an 'end'; and who
   * leaves the loop before has ended, unless the handler fails by that.
   */
  [Symbol.asyncIterator]() {
    const iterator = this.iterator({ destroyOnReturn: false });
    const leave = iterator.return;
    iterator.return = (value) => {
      setImmediate(() => this.destroy());
      return leave.call(iterator, value);
    };
    return iterator;
  }

  #isPeersDoing(error) {
    // An http.Server that has taken the socket has set `server`.
    return error === this.#lateWrite || (this.server && isClientError(error));
  }

  _read() {
    this.#call.resume();
  }

  #receive(frame) {
    if (frame.kind === 'closed') {
      // A newer daemon's is a number.
      const reason = String(frame.closed.reason).replace('CLOSE_REASON_', '');
      this.#finish({ reason });
    } else if (frame.kind === 'moved') {
      this.#move.onMoved();
      this.#halfClose();
      this.#call.resume(); // Behind it there is next to nothing.
    } else if (this.destroyed) {
      // Nobody reads any more.
    } else if (frame.kind === 'eof') {
      if (frame.eof.reset) return; // Which is no end; `closed` tells.
      if (this.#eof) return; // It comes on each stream.
      this.#eof = true;
      this.push(null);
    } else if (!this.push(frame.data) && this.#move.maySend()) {
      this.#call.pause();
    }
  }

  #send(frame, callback) {
    this.#move.onSend(Object.keys(frame)[0]);
    this.#call.write(frame, (error) => {
      this.#move.onSent(!error);
      this.#halfClose();
      callback?.();
    });
  }

  #halfClose() {
    if (this.#move.beginHalfClose()) this.#call.end();
  }

  _write(chunk, encoding, callback) {
    if (this.#over) {
      callback(this.#loss() ??
               lossError('ECONNRESET', 'the connection is closed'));
      return;
    }
    if (!this.#move.maySend()) {
      this.#waiting.push(() => this._write(chunk, encoding, callback));
      return;
    }
    let at = 0;
    for (; chunk.length - at > MAX_FRAME; at += MAX_FRAME) {
      this.#send({ data: chunk.subarray(at, at + MAX_FRAME) });
    }
    this.#send({ data: chunk.subarray(at) }, callback);
  }

  _final(callback) {
    if (this.#over) {
      callback(this.#loss());
    } else if (!this.#move.maySend()) {
      this.#waiting.push(() => this._final(callback));
    } else {
      this.#send({ eof: {} }, callback);
    }
  }

  _destroy(error, callback) {
    // Node destroys a stream that has ended both ways; it may be cut still.
    const ended = this.readableEnded && this.writableFinished;
    this.#onOver = () => {
      const tells = ended && !this.#cancelled;
      callback(error ?? (tells ? this.#loss() : null));
    };
    if (this.#over) {
      this.#onOver();
      return;
    }
    if (error && !this.#isPeersDoing(error)) {
      const message = String(error?.message ?? error).slice(0, MAX_MESSAGE);
      this.#end = { raised: { message } };
    }
    this.#sendEnd(this.#end || { done: {} });
  }

  #sendEnd(end) {
    const waits = !this.#move.maySend();
    const stuck = this.writableNeedDrain && !waits;
    const send = () => {
      this.#send(end);
      this.#call.end();
      this.#call.resume(); // Until `closed`.
    };
    if (!waits) {
      send();
    } else if (end.reset) {
      this.#waiting = [send];
    } else {
      this.#waiting.push(send);
    }
    if (!end.reset) return;
    // Frames keep their order: `reset` would wait behind what is stuck.
    if (stuck) {
      this.cancel();
    } else {
      setTimeout(() => this.cancel(), RESET_TIMEOUT).unref();
    }
  }

  #finish(over) {
    if (this.#over) return;
    this.#over = over;
    const loss = this.#loss();
    if (this.destroyed) {
      this.#onOver();
    } else if (loss) {
      // A reader that waits gets first what was pushed in this tick.
      setImmediate(() => this.destroy(loss));
    } else if (this.readableEnded) {
      this.destroy();
    } else {
      this.once('end', () => this.destroy());
    }
  }

  /** The error that the end of the stream is; null where nothing was cut. */
  #loss() {
    const { reason, error } = this.#over;
    if (error) return lossError('ECONNRESET', error.message);
    if (reason === 'PEER_RESET') {
      return lossError('ECONNRESET', 'read ECONNRESET');
    }
    const inOrder = this.#eof || this.destroyed;
    if (inOrder && IN_ORDER.includes(reason)) return null;
    return lossError('ECONNABORTED', `closed: ${reason}`);
  }
}

/** The first frame of an Attach. */
function attachFrame(connection) {
  return { attach: { connection, can_move: true } };
}

/**
 * Sends the first frame of a call; resolves to what `take` makes of the
 * Connection and of the promise of the call's status, at once. Rejects with the
 * error of gRPC where the daemon refuses.
 */
function open(call, first, take) {
  return new Promise((resolve, reject) => {
    const status = new Promise((ended) => call.once('status', ended));
    call.on('error', reject);
    call.once('end', () => status.then(() => reject(new Error('no `opened`'))));
    call.once('data', (frame) => {
      if (frame.kind === 'opened') {
        resolve(take(frame.opened.connection, status));
      } else {
        call.cancel();
        reject(new Error('no `opened`'));
      }
    });
    call.write(first);
  });
}

/**
 * Does so, and resolves to the socket. `attach()` makes an Attach call, for a
 * connection that moves.
 */
function openSocket(call, first, attach, options) {
  return open(call, first, (connection, status) => new PortreeveSocket(
      call, status, connection, attach, options));
}

module.exports = { PortreeveSocket, attachFrame, openSocket };
