// A table of many rows, of which only those that are seen are in the page.
import {element, setAttribute} from './dom.js';

/** How many rows there are above and below those that are seen. */
const MARGIN = 6;

/**
 * @template Row
 * @typedef {{key: string, title: string, className?: string, help?: string,
 *   make: (cell: HTMLElement) => (row: Row) => void}} Column
 */

/** @template {{name: string}} Row */
export class VirtualTable {
  /**
   * @param {HTMLTableElement} table With a thead of one tr, and a tbody.
   * @param {Column<Row>[]} columns The first has a link, which the keyboard goes
   *     to.
   * @param {(key: string) => void} onSort
   */
  constructor(table, columns, onSort) {
    this.table = table;
    this.columns = columns;
    /** @type {Row[]} */
    this.rows = [];
    /** @type {{tr: HTMLTableRowElement, draw: ((row: Row) => void)[]}[]} */
    this.slots = [];
    this.first = 0;
    this.active = '';  // The name of the row that the keyboard is at.
    this.body = table.tBodies[0];
    this.above = element('tr', 'space');
    this.below = element('tr', 'space');
    for (const space of [this.above, this.below]) {
      space.setAttribute('aria-hidden', 'true');
      space.append(element('td'));
    }
    this.body.replaceChildren(this.above, this.below);
    /** @type {Map<string, HTMLElement>} */
    this.heads = new Map();
    const head = /** @type {HTMLTableSectionElement} */ (table.tHead).rows[0];
    for (const {key, title, className, help} of columns) {
      const th = element('th', className);
      th.scope = 'col';
      const button = element('button', '', title);
      button.type = 'button';
      if (help) button.title = help;
      button.addEventListener('click', () => onSort(key));
      th.append(button);
      head.append(th);
      this.heads.set(key, th);
    }
    addEventListener('scroll', () => this.paint(), {passive: true});
    addEventListener('resize', () => this.paint());
    this.body.addEventListener('keydown', (event) => this.#onKey(event));
    this.body.addEventListener('focusin', (event) => {
      const tr = /** @type {HTMLElement} */ (event.target).closest('tr');
      const slot = this.slots.findIndex((s) => s.tr === tr);
      const row = this.rows[this.first + slot];
      if (slot >= 0 && row) this.#activate(row.name);
    });
  }

  /** @param {string} key @param {boolean} down */
  showOrder(key, down) {
    for (const [of, th] of this.heads) {
      if (of === key) {
        th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      } else {
        th.removeAttribute('aria-sort');
      }
    }
  }

  /** Whether the reader is at a row, by the pointer or the keyboard. */
  get isHeld() {
    return this.body.contains(document.activeElement) ||
        this.body.matches(':hover');
  }

  /** @param {Row[]} rows In their order. */
  setRows(rows) {
    this.rows = rows;
    setAttribute(this.table, 'aria-rowcount', rows.length + 1);
    this.paint();
  }

  #rowHeight() {
    return parseFloat(getComputedStyle(this.table).getPropertyValue('--row'));
  }

  /** Fills the rows that are seen. */
  paint() {
    if (this.table.offsetParent === null) return;  // It is not shown.
    const height = this.#rowHeight();
    const top = this.body.getBoundingClientRect().top;
    const fit = Math.ceil(innerHeight / height) + 2 * MARGIN;
    const most = Math.max(0, this.rows.length - fit);
    this.first = Math.min(most,
        Math.max(0, Math.floor(-top / height) - MARGIN));
    const number = Math.min(fit, this.rows.length);
    const focused = this.body.contains(document.activeElement);
    while (this.slots.length < number) this.#addSlot();
    this.slots.forEach(({tr, draw}, i) => {
      tr.hidden = i >= number;
      if (i >= number) return;
      const row = this.rows[this.first + i];
      setAttribute(tr, 'aria-rowindex', this.first + i + 2);
      for (const drawCell of draw) drawCell(row);
    });
    this.above.firstChild.style.height = `${this.first * height}px`;
    this.below.firstChild.style.height =
        `${(this.rows.length - this.first - number) * height}px`;
    this.#activate(this.active);
    if (focused) this.#link(this.active)?.focus({preventScroll: true});
  }

  #addSlot() {
    const tr = element('tr');
    const draw = this.columns.map(({className, make}, i) => {
      const cell = element(i === 0 ? 'th' : 'td', className);
      if (i === 0) cell.scope = 'row';
      tr.append(cell);
      return make(cell);
    });
    this.slots.push({tr, draw});
    this.below.before(tr);
  }

  #slotOf(/** @type {string} */ name) {
    const at = this.rows.findIndex((row) => row.name === name);
    return this.slots[at - this.first];
  }

  /** @returns {HTMLElement|null|undefined} */
  #link(/** @type {string} */ name) { return this.#slotOf(name)?.tr.querySelector('a'); }

  /** One row is reached by Tab; the others from there. */
  #activate(/** @type {string} */ name) {
    if (!this.#slotOf(name)) name = this.rows[this.first]?.name ?? '';
    if (this.body.contains(document.activeElement) || this.active === '') {
      this.active = name;
    }
    const link = this.#link(this.active) ?? this.#link(name);
    for (const {tr} of this.slots) {
      const own = tr.querySelector('a');
      if (own) own.tabIndex = own === link ? 0 : -1;
    }
  }

  #onKey(/** @type {KeyboardEvent} */ event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(innerHeight / this.#rowHeight()) - 3);
    const steps = new Map([['ArrowUp', -1], ['ArrowDown', 1], ['PageUp', -page],
      ['PageDown', page], ['Home', -Infinity], ['End', Infinity]]);
    const step = steps.get(event.key);
    if (step === undefined) return;
    event.preventDefault();
    const at = this.rows.findIndex((row) => row.name === this.active);
    const to = Math.max(0, Math.min(this.rows.length - 1, at + step));
    this.active = this.rows[to]?.name ?? '';
    this.#scrollTo(to);
    this.paint();
    this.#link(this.active)?.focus({preventScroll: true});
  }

  #scrollTo(/** @type {number} */ index) {
    const height = this.#rowHeight();
    const head = /** @type {HTMLElement} */ (this.table.tHead).offsetHeight;
    const top = this.body.getBoundingClientRect().top + index * height;
    if (top < head) {
      scrollBy(0, top - head);
    } else if (top + height > innerHeight) {
      scrollBy(0, top + height - innerHeight);
    }
  }
}
