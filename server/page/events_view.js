// The view of all events.
import {showCommands} from './commands.js';
import {$, element, setText} from './dom.js';
import {count} from './format.js';
import {EventLog, kindName, kindOf} from './log.js';
import {LogView} from './log_view.js';

/** Those about listeners, from which the page knows what there is. */
export const LISTENER_KINDS = ['listener_created', 'listener_updated',
  'listener_close_started', 'listener_close_finished',
  'listener_handlers_determined', 'listener_deleted', 'listener_restored',
  'listener_failed', 'daemon_started'];
const OTHER_KINDS = ['connection_accepted', 'connection_dropped',
  'connection_closed', 'handler_error', 'limit_reached', 'accept_failed',
  'daemon_upgraded'];

export class EventsView {
  /** @param {() => void} onKind Called when another kind is asked for. */
  constructor(onKind) {
    this.log = new EventLog();
    this.view = new LogView($('log'), 'Nothing has happened since you look.');
    /** @type {import('./log.js').Entry[]|null} What is shown meanwhile. */
    this.paused = null;
    this.missed = 0;
    const choice = (/** @type {string} */ kind) => {
      const option = element('option', '', kind || 'all');
      option.value = kind;
      return option;
    };
    $('kind').append(...['', ...OTHER_KINDS, ...LISTENER_KINDS].map(choice));
    $('kind').addEventListener('change', () => {
      onKind();
      this.draw();
    });
    $('of').addEventListener('input', () => this.draw());
    $('pause').addEventListener('click', () => this.#pause());
    showCommands($('e-commands'), ['portreeve watch', 'portreeve watch -o json']);
  }

  get kind() { return $('kind').value; }

  #pause() {
    this.paused = this.paused ? null : [...this.log.entries];
    this.missed = 0;
    $('pause').setAttribute('aria-pressed', this.paused !== null);
    setText($('pause'), this.paused ? 'Go on' : 'Pause');
    this.draw();
  }

  #fits(/** @type {{kind: string, listener: string, tone: string}} */ entry) {
    if (entry.tone === 'more' || entry.tone === 'note' || entry.kind === 'gap') {
      return true;
    }
    return (this.kind === '' || entry.kind === this.kind) &&
        entry.listener.includes($('of').value.trim());
  }

  /** @param {any} event @param {number} now In seconds. */
  onEvent(event, now) {
    const kind = kindOf(event);
    const what = event[kind] ?? {};
    const listener = what.connection?.listener ?? what.listener?.name ??
        what.listener ?? '';
    if (!this.#fits({kind: kindName(kind), listener, tone: ''})) return;
    this.log.add(event, now);
    if (this.paused) ++this.missed;
  }

  draw() {
    const entries = (this.paused ?? this.log.entries).filter((e) => this.#fits(e));
    this.view.draw(entries);
    setText($('log-count'), this.paused ?
        `${count(this.missed)} came meanwhile` : `${count(this.log.total)} seen`);
  }
}
