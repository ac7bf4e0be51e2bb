// Whether what the page shows is so now.

/** @typedef {'connecting'|'live'|'restarted'|'lost'} State */

/** How long the daemon may say nothing, in milliseconds: it speaks each second. */
export const SILENCE = 4500;

/** For how long a restart is told, in milliseconds. */
const RESTART_SHOWN = 30000;

/** Decides the state; it has no clock and no streams. */
export class Liveness {
  constructor() {
    /** @type {State} */
    this.state = 'connecting';
    /** Since when, in milliseconds. */
    this.since = 0;
    this.instance = '';
    this.last = 0;
  }

  /**
   * A stream is asked for that was let go of: what was said before is old, and is
   * held against nobody. @param {number} now
   */
  onOpen(now) {
    this.last = now;
    if (this.#isWell) this.#become('connecting', now);
  }

  /** @param {number} now @param {string} instance */
  onMessage(now, instance) {
    this.#keepUp(now);
    this.last = now;
    const restarted = this.instance !== '' && instance !== this.instance;
    this.instance = instance;
    if (restarted) return this.#become('restarted', now);
    if (this.state === 'restarted' && now - this.since < RESTART_SHOWN) return;
    if (this.state !== 'live') this.#become('live', now);
  }

  /** @param {number} now */
  onError(now) {
    if (this.instance !== '' && this.state !== 'lost') this.#become('lost', now);
  }

  /** Gives whether the stream says nothing for too long. @param {number} now */
  onTick(now) {
    this.#keepUp(now);
    if (this.last === 0) this.last = now;
    if (now - this.last < SILENCE) return false;
    if (this.instance !== '' && this.state !== 'lost') {
      this.#become('lost', this.last);
    }
    return true;
  }

  get #isWell() { return this.state === 'live' || this.state === 'restarted'; }

  /** A clock that was set back has no silence behind it, which would last long. */
  #keepUp(/** @type {number} */ now) {
    this.last = Math.min(this.last, now);
    this.since = Math.min(this.since, now);
  }

  /** @param {State} state @param {number} since */
  #become(state, since) {
    this.state = state;
    this.since = since;
  }
}
