// Shows an EventLog.
import {clock, id} from './format.js';
import {element, setText} from './dom.js';

/** @typedef {import('./log.js').Entry} Entry */

function line(/** @type {Entry} */ entry) {
  const made = element('div', `entry ${entry.tone}`);
  const time = element('time', '', clock(entry.time));
  time.dateTime = time.title = entry.time;  // With the day, whatever the zone.
  const name = entry.listener && entry.name === entry.listener ?
      element('a', 'name', entry.name) : element('span', 'name', entry.name);
  if (name.tagName === 'A') name.href = `#listener/${id(entry.listener)}`;
  made.append(time, element('span', 'kind', entry.kind), name,
      element('span', 'text', entry.text));
  made.lastChild.title = entry.text;
  return made;
}

export class LogView {
  /** @param {HTMLElement} place @param {string} empty Said while there is none. */
  constructor(place, empty) {
    this.place = place;
    this.empty = element('p', 'empty', empty);
    /** @type {Map<number, HTMLElement>} */
    this.lines = new Map();
    place.replaceChildren(this.empty);
  }

  /** @param {Entry[]} entries The newest first. */
  draw(entries) {
    const wanted = new Set(entries.map(({key}) => key));
    for (const [key, made] of this.lines) {
      if (wanted.has(key)) continue;
      made.remove();
      this.lines.delete(key);
    }
    this.empty.hidden = entries.length > 0;
    // Whoever has scrolled down goes on to see the same lines.
    const before = this.place.scrollHeight;
    const at = this.place.scrollTop;
    /** @type {Element} */
    let next = this.empty;
    for (const entry of [...entries].reverse()) {
      const made = this.lines.get(entry.key) ?? line(entry);
      this.lines.set(entry.key, made);
      if (entry.tone === 'more' && made.lastChild) {
        setText(made.lastChild, entry.text);
      }
      if (made.nextElementSibling !== next || made.parentNode !== this.place) {
        next.before(made);
      }
      next = made;
    }
    if (at > 0) this.place.scrollTop = at + this.place.scrollHeight - before;
  }
}
