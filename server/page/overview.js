// The first view: how the daemon is, and all listeners.
import {LineChart, Meter, Sparkline, StackedBar} from './chart.js';
import {$, element, setAttribute, setText} from './dom.js';
import {bytes, count, duration, int64, rate, seconds} from './format.js';
import {LONG, SHORT, filtered} from './model.js';
import {VirtualTable} from './table.js';

/** @typedef {import('./model.js').Row} Row */
/** @typedef {import('./model.js').Model} Model */

/** How often rows change places by what they count, in milliseconds. */
const ORDER_TIME = 5000;

const CLOSES = ['in order', 'by the client', 'failed here or upstream', 'on purpose'];

/** A column of text. */
const textCell = (/** @type {(row: Row) => string} */ text) =>
  (/** @type {HTMLElement} */ cell) => (/** @type {Row} */ row) => {
    const shown = text(row);
    setText(cell, shown);
    if (cell.title !== shown) cell.title = shown;
  };

const numberCell = (/** @type {(row: Row) => string} */ text) =>
  (/** @type {HTMLElement} */ cell) => (/** @type {Row} */ row) => {
    const shown = text(row);
    setText(cell, shown);
    cell.classList.toggle('zero', ['0', '0 B', '–'].includes(shown));
  };

/** @param {Model} model @returns {import('./table.js').Column<Row>[]} */
function columns(model) {
  return [
    {key: 'name', title: 'Listener', className: 'name', make: (cell) => {
      const dot = element('i', 'dot');
      const link = element('a');
      const where = element('small');
      cell.append(dot, link, where);
      return (row) => {
        setText(link, row.id);
        setText(where, row.address);
        setAttribute(link, 'href', `#listener/${row.id}`);
        setAttribute(dot, 'class', `dot ${row.state}`);
        if (link.title !== row.id) link.title = row.id;
      };
    }},
    {key: 'state', title: 'State', className: 'state-of', make: (cell) => (row) => {
      setText(cell, row.state);
      setAttribute(cell, 'class', `state-of ${row.state}`);
      const why = row.status.failure?.message ?? row.state;
      if (cell.title !== why) cell.title = why;
    }},
    {key: 'address', title: 'Address', className: 'address',
      make: textCell((row) => row.address)},
    {key: 'handler', title: 'Handler', className: 'handler',
      make: textCell((row) => row.handler.replace(/^forward=(tcp:)?/, '→ '))},
    {key: 'open', title: 'Open / max', className: 'n open', make: (cell) => {
      const value = element('span');
      const meter = new Meter();
      cell.append(value, meter.svg);
      return (row) => {
        setText(value, `${count(row.open)} / ${count(row.most)}`);
        meter.draw(row.open, row.most);
      };
    }},
    {key: 'backlog', title: 'Backlog', className: 'n backlog',
      help: 'Connections that wait in the kernel to be accepted, of a listener ' +
          'over TCP that listens',
      make: numberCell((row) => count(row.backlog))},
    {key: 'accepts', title: 'Accepts/s', className: 'n accepts', make: (cell) => {
      const value = element('span');
      const spark = new Sparkline();
      cell.append(spark.svg, value);
      return (row) => {
        const shown = rate(row.rate('accepts', model.tick));
        setText(value, shown);
        value.classList.toggle('zero', shown === '0');
        spark.draw(model.minute(row, 'accepts'));
      };
    }},
    {key: 'in', title: 'In/s', className: 'n in',
      make: numberCell((row) => bytes(row.rate('received', model.tick)))},
    {key: 'out', title: 'Out/s', className: 'n out',
      make: numberCell((row) => bytes(row.rate('sent', model.tick)))},
    {key: 'closes', title: 'Closed', className: 'closes', make: (cell) => {
      const stack = new StackedBar(CLOSES.length);
      const value = element('span', 'n');
      cell.append(stack.svg, value);
      return (row) => {
        setText(value, count(int64(row.stats.closedTotal)));
        stack.draw(row.closes, row.closed === 0 ? 'none closed' : CLOSES
            .map((what, i) => `${count(row.closes[i])} ${what}`)
            .filter((_, i) => row.closes[i] > 0).join(', '));
      };
    }},
    {key: 'labels', title: 'Labels', className: 'labels',
      make: textCell((row) => row.labels)},
  ];
}

const ORDERS = /** @type {Record<string, (row: Row, tick: number) => number|string>} */ ({
  name: (row) => row.id,
  state: (row) => row.state,
  address: (row) => row.address,
  handler: (row) => row.handler,
  open: (row) => row.open,
  backlog: (row) => Number.isNaN(row.backlog) ? -1 : row.backlog,
  accepts: (row, tick) => row.rate('accepts', tick),
  in: (row, tick) => row.rate('received', tick),
  out: (row, tick) => row.rate('sent', tick),
  closes: (row) => row.closed,
  labels: (row) => row.labels,
});
const TEXTS = ['name', 'state', 'address', 'handler', 'labels'];
const byText = new Intl.Collator('en', {numeric: true});

export class Overview {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.span = SHORT;
    this.order = 'name';
    this.down = false;
    this.changed = -1;
    this.orderTime = 0;
    this.complete = false;
    const chart = (/** @type {string} */ place, /** @type {string} */ title,
        /** @type {string[]} */ names, text = count, base = 10) =>
      new LineChart($(place), {title, names, text, base});
    this.charts = {
      connections: chart('chart-connections', 'Open connections', ['connections']),
      accepts: chart('chart-accepts', 'Accepts per second', ['accepts']),
      bytes: chart('chart-bytes', 'Bytes in and out per second', ['in', 'out'],
          bytes, 1024),
    };
    this.meter = new Meter();
    $('meter-fds').replaceWith(this.meter.svg);
    this.table = new VirtualTable($('listeners'), columns(model),
        (key) => this.#sortBy(key));
    this.table.showOrder(this.order, this.down);
    $('filter').addEventListener('input', () => this.#arrange());
    $('span-60').addEventListener('click', () => this.#setSpan(SHORT));
    $('span-900').addEventListener('click', () => this.#setSpan(LONG));
  }

  #setSpan(/** @type {number} */ span) {
    this.span = span;
    $('span-60').setAttribute('aria-pressed', span === SHORT);
    $('span-900').setAttribute('aria-pressed', span === LONG);
    this.#drawTiles();
  }

  #sortBy(/** @type {string} */ key) {
    // Of numbers the greatest are asked for first.
    this.down = key === this.order ? !this.down : !TEXTS.includes(key);
    this.order = key;
    this.table.showOrder(key, this.down);
    this.#arrange();
  }

  /** Filters and orders anew. */
  #arrange() {
    const {model} = this;
    const value = ORDERS[this.order];
    const keyed = filtered(model.rows.values(), $('filter').value).map(
        (row) => ({row, key: value(row, model.tick)}));
    const sign = this.down ? -1 : 1;
    keyed.sort((a, b) => {
      const order = typeof a.key === 'number' ? a.key - Number(b.key) :
          byText.compare(a.key, String(b.key));
      return sign * order || byText.compare(a.row.id, b.row.id);
    });
    this.changed = model.changed;
    this.orderTime = Date.now();
    const all = model.rows.size;
    setText($('shown'), keyed.length === all ?
        `${count(all)} ${all === 1 ? 'listener' : 'listeners'}` :
        `${count(keyed.length)} of ${count(all)} listeners`);
    const none = $('none');
    none.hidden = keyed.length > 0 || !this.complete;
    setText(none, all === 0 ?
        'There is no listener. portreeve create web --listen tcp:127.0.0.1:0 --echo' :
        'No listener is like that.');
    this.table.setRows(keyed.map(({row}) => row));
  }

  /** Shows the newest. */
  draw() {
    this.complete ||= !this.model.begins;
    this.#drawTiles();
    const moves = !TEXTS.includes(this.order) && !this.table.isHeld &&
        Math.abs(Date.now() - this.orderTime) >= ORDER_TIME;
    if (this.changed !== this.model.changed || moves) {
      this.#arrange();
    } else {
      this.table.paint();
    }
  }

  #drawTiles() {
    const {model, span} = this;
    const {daemon, history, tick} = model;
    const last = (/** @type {keyof Model['history']} */ what) =>
      history[what].last(tick, span);
    const now = (/** @type {keyof Model['history']} */ what) =>
      history[what].last(tick, 1)[0];
    const text = span === SHORT ? '60 s' : '15 min';
    this.charts.connections.draw([last('connections')], text);
    this.charts.accepts.draw([last('accepts')], text);
    this.charts.bytes.draw([last('received'), last('sent')], text);
    setText($('now-connections'), rate(now('connections')));
    setText($('now-accepts'), rate(now('accepts')));
    setText($('now-in'), bytes(now('received')));
    setText($('now-out'), bytes(now('sent')));
    const open = int64(daemon.openFds);
    const most = int64(daemon.maxFds);
    setText($('now-fds'), `${count(open)} / ${count(most)}`);
    this.meter.draw(Number(open), Number(most));
    setText($('now-lag'), duration(seconds(daemon.loopLag)));
    setText($('now-cpu'), Number.isNaN(model.cpu) ? '–' :
        `${Math.max(0, model.cpu * 100).toFixed(0)} %`);
    setText($('now-memory'), bytes(int64(daemon.residentBytes)));
  }
}
