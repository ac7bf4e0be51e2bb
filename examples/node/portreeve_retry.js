'use strict';
// Whether and when a stream that broke is tried again.

// Milliseconds.
const FIRST_WAIT = 200;
const MOST_WAIT = 10_000;

/**
 * Each wait is twice the one before it, and by chance shorter by up to a half.
 * A stream that has lived for longer than the longest wait makes the next one
 * the first again. `giveUpAfter` is in milliseconds.
 */
class Retry {
  #giveUpAfter;
  #clock;
  #chance;
  #next = FIRST_WAIT;
  #started = null;
  #brokenSince = null;

  constructor(giveUpAfter = Infinity, clock = () => performance.now(),
      chance = Math.random) {
    this.#giveUpAfter = giveUpAfter;
    this.#clock = clock;
    this.#chance = chance;
  }

  /** The stream counts. */
  onStart() {
    this.#started = this.#clock();
    this.#brokenSince = null;
  }

  /** Milliseconds until the next try; null: give up. */
  onEnd() {
    const now = this.#clock();
    if (this.#started !== null && now - this.#started > MOST_WAIT) {
      this.#next = FIRST_WAIT;
    }
    this.#started = null;
    this.#brokenSince ??= now;
    const left = this.#brokenSince + this.#giveUpAfter - now;
    if (left <= 0) return null;
    const wait = this.#next * (1 - this.#chance() / 2);
    this.#next = Math.min(2 * this.#next, MOST_WAIT);
    return Math.min(wait, left);
  }
}

module.exports = { Retry };
