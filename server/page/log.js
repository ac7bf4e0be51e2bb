// The newest events: which are kept, and which are only counted.
import {address, bytes, count, duration, handler, int64, word} from './format.js';

export const KEPT = 1000;
export const A_SECOND = 50;

/**
 * @typedef {{key: number, at: number, time: string, kind: string, name: string,
 *   listener: string, text: string, tone: ''|'bad'|'more'|'note',
 *   more?: number}} Entry
 */

/** @param {any} event The field of its kind: "connectionClosed". */
export function kindOf(event) {
  return Object.keys(event).find(
      (key) => !['revision', 'instanceId', 'time'].includes(key)) ?? '';
}

/** "connectionClosed" is "connection_closed". @param {string} kind */
export const kindName = (kind) =>
  kind.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** @param {any} connection */
function connectionText(connection) {
  const parts = [address(connection.peer)];
  if (connection.upstream) parts.push(`→ ${address(connection.upstream)}`);
  if (connection.closeReason) {
    parts.push(connection.closeReason.replace('CLOSE_REASON_', ''));
    const life = (Date.parse(connection.closeTime) -
        Date.parse(connection.createTime)) / 1000;
    if (life >= 0) parts.push(`after ${duration(life)}`);
    parts.push(`in ${bytes(int64(connection.bytesReceived))}, ` +
        `out ${bytes(int64(connection.bytesSent))}`);
  }
  if (connection.failure) parts.push(connection.failure.message ?? '');
  return parts.join('  ');
}

/** @param {any} listener */
function listenerText(listener) {
  const status = listener.status ?? {};
  return [address(status.listeningOn), handler(listener.spec),
    status.failure ? `${status.failure.reason}: ${status.failure.message}` :
        word(status.closeCause, 'CLOSE_CAUSE_')].filter((t) => t).join('  ');
}

/** @param {any} event @returns {Omit<Entry, 'key'|'at'>} */
export function describe(event) {
  const kind = kindOf(event);
  const what = event[kind] ?? {};
  const {listener, connection} = what;
  const entry = {
    time: event.time, kind: kindName(kind), name: '', listener: '', text: '',
    tone: /** @type {Entry['tone']} */ (''),
  };
  if (kind === 'gap') {
    entry.tone = 'bad';
    entry.text = `${count(int64(what.count))} events are missing here, ` +
        `${what.firstRevision} to ${what.lastRevision}: they were not kept`;
  } else if (connection?.name) {
    entry.name = connection.name;
    entry.listener = connection.listener ?? '';
    entry.text = connectionText(connection);
  } else if (listener?.name) {
    entry.name = entry.listener = listener.name;
    entry.text = listenerText(listener);
  } else {
    entry.name = connection ?? listener ?? '';
    entry.listener = listener ?? '';
    entry.text = what.message ?? (what.limit ? `${count(what.limit)} connections` : '');
  }
  if (['handler_error', 'limit_reached', 'accept_failed', 'listener_failed']
      .includes(entry.kind)) {
    entry.tone = 'bad';
  }
  return entry;
}

/** Keeps the newest KEPT; of one second A_SECOND are entries, the rest a number. */
export class EventLog {
  constructor() {
    /** @type {Entry[]} The newest first. */
    this.entries = [];
    this.key = 0;
    this.second = -1;
    this.number = 0;  // In that second.
    this.total = 0;
  }

  /** @param {any} event @param {number} now In seconds. */
  add(event, now) {
    ++this.total;
    const second = Math.floor(now);
    if (second !== this.second) {
      this.second = second;
      this.number = 0;
    }
    const newest = this.entries[0];
    if (++this.number > A_SECOND && kindOf(event) !== 'gap') {
      if (newest?.tone === 'more' && newest.at === second) {
        newest.more = (newest.more ?? 0) + 1;
        newest.text = `and ${count(newest.more)} more in this second`;
        return;
      }
      this.#push({time: event.time, kind: '', name: '', listener: '',
        text: 'and 1 more in this second', tone: 'more', more: 1}, second);
      return;
    }
    this.#push(describe(event), second);
  }

  /** @param {string} text @param {string} time @param {number} now */
  note(text, time, now) {
    this.#push({time, kind: '', name: '', listener: '', text, tone: 'note'},
        Math.floor(now));
  }

  /** What comes next does not go on from what is there. */
  noteHole(/** @type {string} */ time, /** @type {number} */ now) {
    if (this.entries.length === 0 || this.entries[0].tone === 'note') return;
    this.note('What happened in between was not followed', time, now);
  }

  #push(/** @type {Omit<Entry, 'key'|'at'>} */ entry, /** @type {number} */ at) {
    this.entries.unshift({...entry, key: ++this.key, at});
    if (this.entries.length > KEPT) this.entries.pop();
  }

  clear() { this.entries = []; }
}

