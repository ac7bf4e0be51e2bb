// How often values of each size came, as rows of a table.
import {Meter} from './chart.js';
import {element, setText} from './dom.js';
import {count, duration, int64} from './format.js';

/** The bounds of the buckets but the last, in seconds; see stats.proto. */
export const DURATIONS = Array.from({length: 13}, (_, i) => 0.001 * 4 ** i);
export const LATENCIES = Array.from({length: 10}, (_, i) => 0.0001 * 4 ** i);

/** The first bound that `share` of the values are within, in words. */
function quantile(/** @type {number[]} */ counts, /** @type {number[]} */ bounds,
    /** @type {number} */ share) {
  const sum = counts.reduce((a, b) => a + b, 0);
  let seen = 0;
  for (let i = 0; i < bounds.length; ++i) {
    seen += counts[i] ?? 0;
    if (seen >= share * sum) return `≤ ${duration(bounds[i])}`;
  }
  return `> ${duration(bounds[bounds.length - 1])}`;
}

/** @param {HTMLTableSectionElement} body @param {[string, bigint][]} rows */
export function drawCounts(body, rows) {
  const most = rows.reduce((a, [, n]) => Math.max(a, Number(n)), 0);
  while (body.rows.length > rows.length) body.deleteRow(-1);
  while (body.rows.length < rows.length) {
    const tr = /** @type {any} */ (body.insertRow());
    const head = element('th');
    head.scope = 'row';
    tr.meter = new Meter();
    const bar = element('td', 'bar-of');
    bar.append(tr.meter.svg);
    tr.append(head, element('td', 'n'), bar);
  }
  rows.forEach(([name, number], i) => {
    const tr = /** @type {any} */ (body.rows[i]);
    setText(tr.cells[0], name);
    setText(tr.cells[1], count(number));
    tr.meter.draw(Number(number), most * 1.2);
  });
}

/**
 * @param {HTMLTableElement} table @param {HTMLElement} quantiles
 * @param {any} histogram Of stats.proto. @param {number[]} bounds
 * @param {string} otherwise What to say where there is none.
 */
export function drawHistogram(table, quantiles, histogram, bounds, otherwise) {
  const counts = (histogram?.counts ?? []).map(int64);
  const numbers = counts.map(Number);
  const first = numbers.findIndex((/** @type {number} */ n) => n > 0);
  const last = numbers.findLastIndex((/** @type {number} */ n) => n > 0);
  setText(/** @type {HTMLElement} */ (table.caption), first < 0 ? otherwise : table.id);
  table.caption?.classList.toggle('hidden', first >= 0);
  if (first < 0) {
    setText(quantiles, '');
    drawCounts(table.tBodies[0], []);
    return;
  }
  setText(quantiles, `half ${quantile(numbers, bounds, 0.5)}, ` +
      `95 % ${quantile(numbers, bounds, 0.95)}`);
  const rows = /** @type {[string, bigint][]} */ ([]);
  for (let i = first; i <= last; ++i) {
    rows.push([i < bounds.length ? `≤ ${duration(bounds[i])}` :
        `> ${duration(bounds[bounds.length - 1])}`, counts[i] ?? 0n]);
  }
  drawCounts(table.tBodies[0], rows);
}
