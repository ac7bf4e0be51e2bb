'use strict';
// Whether and how a stream goes on in the daemon's next process, and which
// calls are made once more.

const { status } = require('@grpc/grpc-js');

// Milliseconds in which the next process may not be reached.
const MOVE_FOR = 10_000;
// How often a worker may be told that the daemon has moved, and say nothing.
const MOST_MOVES = 3;

/**
 * Decides for one connection; its socket reads, sends and attaches. A leg is
 * one stream of gRPC: of a connection that moves there are several, one after
 * the other. After `moved` what is being sent is the last of its leg, and what
 * is behind it waits for the next leg. The connection goes on only where nothing
 * was lost on the way: what was cut must never look whole.
 */
class Move {
  #hasEof = false; // The user's, of which each leg is told.
  #hasEnd = false;
  #hasMoved = false; // Until the next leg has opened.
  #sending = 0;
  #hasHalfClosed = false;
  #hasLost = false;

  /** Whether the next frame goes on this leg. */
  maySend() {
    return !this.#hasMoved;
  }

  /** A frame is being sent, of this kind. */
  onSend(kind) {
    this.#sending++;
    if (kind === 'eof') this.#hasEof = true;
    else if (kind !== 'data') this.#hasEnd = true;
  }

  onSent(isWhole) {
    this.#sending--;
    if (!isWhole) this.#hasLost = true;
  }

  onMoved() {
    this.#hasMoved = true;
  }

  /** Whether to end this direction of the leg now, which is done once. */
  beginHalfClose() {
    if (!this.#hasMoved || this.#sending > 0 || this.#hasHalfClosed ||
        this.#hasLost) {
      return false;
    }
    this.#hasHalfClosed = true;
    return true;
  }

  /** The leg has ended without `closed`; whether to attach again. */
  goesOn(isOk) {
    // After the user's end there is `closed`, and nothing moves.
    return isOk && this.#hasHalfClosed && this.#sending === 0 &&
        !this.#hasLost && !this.#hasEnd;
  }

  /** The next leg has; whether `eof` is to be sent on it first. */
  onOpened() {
    this.#hasMoved = false;
    this.#hasHalfClosed = false;
    return this.#hasEof;
  }
}

function details(error) {
  return error.metadata?.get('grpc-status-details-bin') ?? [];
}

/** Whether the daemon's details have this reason. */
function hasReason(error, reason) {
  return details(error).some((bytes) => bytes.includes(reason));
}

/**
 * Whether the daemon's process was replaced before it did what was asked for:
 * nothing was done, and the same call reaches the next one.
 */
function hasMoved(error) {
  return error.code === status.UNAVAILABLE && hasReason(error, 'MOVED');
}

/** Whether it has one of these codes, and not from the daemon. */
function isOfGrpc(error, ...codes) {
  return codes.includes(error.code) && details(error).length === 0;
}

/** Whether one process may be about to take another's place. */
function mayAttachAgain(error) {
  return hasMoved(error) ||
      isOfGrpc(error, status.UNAVAILABLE, status.CANCELLED);
}

/**
 * What the async function `call` gives, which is called once more where an
 * upgrade of the daemon has crossed it. `isHarmless`: it may be done twice;
 * then it is, too, where gRPC has ended it because its server goes.
 */
async function repeated(call, isHarmless = true) {
  try {
    return await call();
  } catch (error) {
    const wasLost = isHarmless && isOfGrpc(error, status.CANCELLED);
    if (!wasLost && !hasMoved(error)) throw error;
  }
  return call();
}

module.exports = {
  MOST_MOVES, MOVE_FOR, Move, hasMoved, hasReason, isOfGrpc, mayAttachAgain,
  repeated,
};
