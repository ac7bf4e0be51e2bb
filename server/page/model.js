// What the daemon has told: its listeners, and how fast they count.
import {handler, address, int64, labels, id, seconds} from './format.js';

export const SHORT = 60;
export const LONG = 900;

/** What closes mean, by reason; what is not here ended in order. */
const MEANING = new Map([
  ...['PEER_RESET', 'BUFFER_AGE', 'FORCED', 'CLIENT_GONE', 'CANCELLED'].map(
      (reason) => [reason, 1]),
  ...['HANDLER_ERROR', 'UNCLAIMED', 'UPSTREAM_UNREACHABLE', 'UPSTREAM_RESET'].map(
      (reason) => [reason, 2]),
  ...['DROPPED', 'CALLED', 'LISTENER_CLOSED', 'SHUTDOWN'].map(
      (reason) => [reason, 3]),
].map((pair) => /** @type {[string, number]} */ (pair)));

/** 0 in order, 1 the client, 2 a failure, 3 on purpose. @param {string} reason */
export const meaning = (reason) => MEANING.get(reason) ?? 0;

/** What counts up, of a ListenerStats. @param {any} stats */
function counters(stats) {
  const status = stats.status ?? {};
  return {
    accepted: int64(status.acceptedTotal),
    received: int64(status.bytesReceivedTotal),
    sent: int64(status.bytesSentTotal),
  };
}

/**
 * What has come a second. What is less than before is counted by a listener that
 * has come in the place of another of its name.
 * @param {bigint} before @param {bigint} now @param {number} time
 */
const perSecond = (before, now, time) =>
  Number(now < before ? now : now - before) / time;

/** Whether it is known who waits to be accepted. @param {any} status */
const knowsBacklog = (status) => status.state === 'LISTENER_STATE_LISTENING' &&
    status.listeningOn?.inet !== undefined;

/** A listener: what it is, and the last minute of its rates. */
export class Row {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    this.id = id(name);
    /** @type {any} */
    this.spec = null;
    /** @type {any} */
    this.stats = {};
    /** @type {any} */
    this.status = {};
    /** @type {ReturnType<typeof counters>|null} */
    this.before = null;
    this.accepts = new Float32Array(SHORT);
    this.received = new Float32Array(SHORT);
    this.sent = new Float32Array(SHORT);
    this.tick = 0;  // Of the newest values.
    this.generation = 0;
    this.address = '';
    this.handler = '';
    this.labels = '';
    this.searched = '';
    this.closes = [0, 0, 0, 0];
    this.closed = 0;
  }

  /** @param {any} spec */
  setSpec(spec) {
    this.spec = spec;
    this.handler = handler(spec);
    this.labels = labels(spec.labels);
    this.#describe();
  }

  /** @param {any} stats */
  setStats(stats) {
    this.stats = stats;
    this.status = stats.status ?? {};
    this.address = address(this.status.listeningOn);
    this.closes = [0, 0, 0, 0];
    for (const [reason, number] of Object.entries(
        this.status.closedByReason ?? {})) {
      if (!reason.includes('/')) this.closes[meaning(reason)] += Number(number);
    }
    this.closed = Number(stats.closedTotal ?? 0);
    this.#describe();
  }

  #describe() {
    this.searched = [this.id, this.address, this.handler, this.labels, this.state]
        .join(' ').toLowerCase();
  }

  get state() {
    return (this.status.state ?? '').replace('LISTENER_STATE_', '').toLowerCase();
  }
  get open() { return this.status.numConnections ?? 0; }
  get most() { return this.stats.maxConnections ?? 0; }
  /** How many wait to be accepted; NaN: not known. */
  get backlog() {
    return knowsBacklog(this.status) ? this.status.backlogConnections ?? 0 : NaN;
  }

  /** Empties the seconds up to `tick` in which nothing has changed. */
  #skipTo(/** @type {number} */ tick) {
    for (let t = Math.max(this.tick + 1, tick - SHORT + 1); t <= tick; ++t) {
      for (const ring of [this.accepts, this.received, this.sent]) {
        ring[t % SHORT] = 0;
      }
    }
    this.tick = Math.max(this.tick, tick);
  }

  /**
   * Takes what has come since `before`, in `time` seconds, up to `tick`. What was
   * counted before the page looked is no rate.
   * @param {number} tick @param {number} time
   */
  count(tick, time) {
    const now = counters(this.stats);
    const change = {accepted: 0, received: 0, sent: 0};
    if (this.before && time > 0) {
      const {before} = this;
      change.accepted = perSecond(before.accepted, now.accepted, time);
      change.received = perSecond(before.received, now.received, time);
      change.sent = perSecond(before.sent, now.sent, time);
    }
    this.before = now;
    this.#skipTo(tick);
    this.accepts[tick % SHORT] = change.accepted;
    this.received[tick % SHORT] = change.received;
    this.sent[tick % SHORT] = change.sent;
    return change;
  }

  /**
   * The rate of the second `tick`.
   * @param {'accepts'|'received'|'sent'} what @param {number} tick
   */
  rate(what, tick) { return this.tick < tick ? 0 : this[what][tick % SHORT]; }
}

/** Values of the last seconds, NaN where nothing was seen. */
class History {
  constructor() {
    this.values = new Float64Array(LONG).fill(NaN);
  }
  /** @param {number} tick @param {number} value */
  set(tick, value) { this.values[tick % LONG] = value; }
  /** The last `number` of them up to `tick`. */
  last(/** @type {number} */ tick, /** @type {number} */ number) {
    const last = [];
    for (let t = tick - number + 1; t <= tick; ++t) {
      last.push(t < 0 ? NaN : this.values[t % LONG]);
    }
    return last;
  }
}

export class Model {
  constructor() {
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    /** @type {Map<string, any>} */
    this.specs = new Map();
    /** @type {any} */
    this.daemon = {};
    this.tick = LONG;
    this.time = 0;  // Of the newest message, in seconds.
    this.generation = 0;
    this.begins = true;  // The next moment is the first one of a stream.
    this.more = false;   // Of a moment whose parts have not all come.
    this.step = 0;       // Seconds from the moment before; 0: of a first one.
    this.cpu = NaN;      // Seconds of it each second.
    this.history = {
      connections: new History(), accepts: new History(),
      received: new History(), sent: new History(),
    };
    this.sum = {accepted: 0, received: 0, sent: 0};
    this.changed = 0;    // Counts the changes of what listeners there are.
  }

  /** A stream of statistics begins: its first moment has all listeners. */
  begin() {
    this.begins = true;
    this.more = false;
  }

  /** @param {any} message A WatchStatsResponse. */
  take(message) {
    if (!this.more) this.#beginMoment(message);
    this.more = message.hasMore ?? false;
    for (const stats of message.listeners ?? []) this.#takeListener(stats);
    for (const name of message.deleted ?? []) this.#remove(name);
    if (!this.more) this.#endMoment();
  }

  #beginMoment(/** @type {any} */ message) {
    const time = Date.parse(message.time) / 1000;
    const passed = this.time === 0 ? 1 : time - this.time;
    const ticks = this.begins ? Math.max(1, Math.round(passed)) : 1;
    for (let t = Math.max(1, ticks - LONG + 1); t <= ticks; ++t) {
      for (const history of Object.values(this.history)) {
        history.set(this.tick + t, NaN);
      }
    }
    this.tick += ticks;
    this.step = this.begins ? 0 : passed;
    if (this.begins) ++this.generation;
    this.time = time;
    this.sum = {accepted: 0, received: 0, sent: 0};
    const cpu = seconds(message.daemon?.cpuTime);
    this.cpu = this.step > 0 ?
        (cpu - seconds(this.daemon.cpuTime)) / this.step : NaN;
    this.daemon = message.daemon ?? {};
  }

  #takeListener(/** @type {any} */ stats) {
    let row = this.rows.get(stats.name);
    if (row === undefined) {
      row = new Row(stats.name);
      // One that is new has counted all since the moment before.
      if (!this.begins) row.before = counters({});
      const spec = this.specs.get(stats.name);
      if (spec) row.setSpec(spec);
      this.rows.set(stats.name, row);
      ++this.changed;
    }
    row.generation = this.generation;
    row.setStats(stats);
    const change = row.count(this.tick, this.step);
    this.sum.accepted += change.accepted;
    this.sum.received += change.received;
    this.sum.sent += change.sent;
  }

  #endMoment() {
    if (this.begins) {
      for (const row of this.rows.values()) {
        if (row.generation !== this.generation) this.#remove(row.name);
      }
    }
    const known = !this.begins;
    this.begins = false;
    this.history.connections.set(this.tick, this.daemon.numConnections ?? 0);
    this.history.accepts.set(this.tick, known ? this.sum.accepted : NaN);
    this.history.received.set(this.tick, known ? this.sum.received : NaN);
    this.history.sent.set(this.tick, known ? this.sum.sent : NaN);
  }

  #remove(/** @type {string} */ name) {
    this.specs.delete(name);
    if (this.rows.delete(name)) ++this.changed;
  }

  /** @param {any} listener A Listener, as an event has it. */
  takeListener(listener) {
    this.specs.set(listener.name, listener.spec);
    this.rows.get(listener.name)?.setSpec(listener.spec);
    ++this.changed;
  }

  /** @param {string} name */
  forget(name) { this.specs.delete(name); }

  /** The last minute of a listener. */
  minute(/** @type {Row} */ row, /** @type {'accepts'|'received'|'sent'} */ what) {
    const seen = this.history.accepts.last(this.tick, SHORT);
    return seen.map((value, i) => Number.isNaN(value) ? NaN :
        row.rate(what, this.tick - SHORT + 1 + i));
  }
}

/**
 * Rows that have every word of `text`; "key=value" is a label.
 * @param {Iterable<Row>} rows @param {string} text
 */
export function filtered(rows, text) {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word !== '');
  const fits = (/** @type {Row} */ row) => words.every((word) => {
    if (!word.includes('=') || word.startsWith('forward=')) {
      return row.searched.includes(word);
    }
    const [key, value] = [word.slice(0, word.indexOf('=')),
      word.slice(word.indexOf('=') + 1)];
    return Object.entries(row.spec?.labels ?? {}).some(
        ([k, v]) => k.toLowerCase() === key && v.toLowerCase().startsWith(value));
  });
  return [...rows].filter(fits);
}
