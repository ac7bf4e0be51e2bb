// The connections of a listener: a page of those that are open, asked for again
// and again, and those that were closed last.
import {copyButton} from './commands.js';
import {$, element, setText} from './dom.js';
import {address, bytes, duration, int64, word} from './format.js';
import {isConnectionName} from './names.js';

const PAGE = 25;
const CLOSED_KEPT = 20;
const REFRESH = 1000;  // Milliseconds.

/**
 * @param {HTMLTableSectionElement} body @param {any[]} connections
 * @param {number} now By the daemon's clock, in milliseconds.
 */
function drawRows(body, connections, now) {
  while (body.rows.length > connections.length) body.deleteRow(-1);
  while (body.rows.length < connections.length) {
    const tr = /** @type {any} */ (body.insertRow());
    const head = element('th');
    head.scope = 'row';
    tr.append(head, element('td'), element('td', 'n'), element('td'),
        element('td'), element('td', 'n'), element('td', 'n'), element('td'));
    tr.kill = copyButton('kill', () => `portreeve kill ${tr.of}`);
    tr.lastChild.append(tr.kill);
  }
  connections.forEach((connection, i) => {
    const tr = /** @type {any} */ (body.rows[i]);
    const end = connection.closeTime ? Date.parse(connection.closeTime) : now;
    const waits = int64(connection.bytesToWrite);
    const state = connection.closeReason ?
        word(connection.closeReason, 'CLOSE_REASON_') :
        word(connection.state, 'CONNECTION_STATE_') +
        (waits > 0n ? `, ${bytes(waits)} wait` : '');
    const texts = [
      connection.name.replace('connections/', ''), state,
      duration((end - Date.parse(connection.createTime)) / 1000),
      address(connection.peer), address(connection.upstream),
      bytes(int64(connection.bytesReceived)), bytes(int64(connection.bytesSent)),
    ];
    texts.forEach((text, k) => setText(tr.cells[k], text));
    tr.kill.hidden = connection.closeTime !== undefined ||
        !isConnectionName(connection.name);
    tr.of = tr.kill.hidden ? '' : connection.name;
    tr.kill.describe();
  });
}

export class ConnectionPages {
  /** @param {import('./model.js').Model} model */
  constructor(model) {
    this.model = model;
    this.id = '';
    this.tokens = [''];  // Of the pages up to the present one.
    this.next = '';
    /** @type {any[]} */
    this.shown = [];
    /** @type {any[]} */
    this.closed = [];
    this.timer = 0;
    this.told = '';
    this.answered = 0;  // How many the last answer had.
    this.resting = false;
    $('l-first').addEventListener('click', () => this.#turn(['']));
    $('l-next').addEventListener('click',
        () => this.#turn([...this.tokens, this.next]));
  }

  /** @param {string} id Of the listener; empty: of none. */
  open(id) {
    this.id = id;
    this.closed = [];
    this.shown = [];
    this.answered = 0;
    this.next = '';
    this.#turn(['']);
  }

  /** While nobody looks nothing is asked. @param {boolean} resting */
  rest(resting) {
    this.resting = resting;
    this.#turn(this.tokens);
  }

  /** @param {any} connection */
  onClosed(connection) {
    this.closed.unshift(connection);
    if (this.closed.length > CLOSED_KEPT) this.closed.pop();
    this.shown = this.shown.filter(({name}) => name !== connection.name);
  }

  #turn(/** @type {string[]} */ tokens) {
    // Answers that are under way are to others.
    this.tokens = [...tokens];
    clearTimeout(this.timer);
    if (this.id !== '' && !this.resting) this.#ask();
  }

  async #ask() {
    const {id, tokens} = this;
    const token = tokens[tokens.length - 1];
    const query = new URLSearchParams(
        {listener: id, page_size: String(PAGE), page_token: token});
    let told = '';
    let page = /** @type {any} */ (null);
    try {
      const answer = await fetch(`/api/connections?${query}`);
      page = await answer.json();
      if (!answer.ok) told = page.message ?? `${answer.status}`;
    } catch {
      told = 'cannot be read now';
    }
    if (id !== this.id || tokens !== this.tokens) return;
    if (told === '') {
      const over = new Set(this.closed.map(({name}) => name));
      this.shown = (page.connections ?? []).filter(
          (/** @type {any} */ {name}) => !over.has(name));
      this.answered = page.connections?.length ?? 0;
      this.next = page.nextPageToken ?? '';
    }
    this.told = told;
    this.timer = setTimeout(() => this.#ask(), REFRESH);
    this.draw();
  }

  draw() {
    const now = this.model.time * 1000;
    drawRows($('l-open'), this.shown, now);
    drawRows($('l-closed'), this.closed, now);
    const pages = this.next !== '' || this.tokens.length > 1;
    setText($('l-page'), this.told || (this.answered === 0 ? 'none is open' :
        pages ? `page ${this.tokens.length}, ${this.answered} open` :
            `${this.answered} open`));
    $('l-first').disabled = this.tokens.length === 1;
    $('l-next').disabled = this.next === '';
  }
}
