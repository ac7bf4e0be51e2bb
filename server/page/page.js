// The page: its streams, its clock, and which view is shown.
import {$, setText} from './dom.js';
import {EventsView, LISTENER_KINDS} from './events_view.js';
import {Feed} from './feed.js';
import {duration} from './format.js';
import {ListenerView} from './listener_view.js';
import {Liveness} from './liveness.js';
import {Model} from './model.js';
import {placeOf} from './names.js';
import {Overview} from './overview.js';

/** A page that nobody sees lets go of its streams after this, in milliseconds. */
const HIDDEN = 60000;

const model = new Model();
const liveness = new Liveness();
const overview = new Overview(model);
const listener = new ListenerView(model);
const events = new EventsView(() => follow());

/** @type {import('./names.js').Place['view']} */
let view = 'overview';
let drawn = 0;  // Of requestAnimationFrame, while one is asked for.
let news = false;  // What comes is no snapshot any more.
let about = /** @type {any} */ ({});  // Of the present life, once it has come.
let asking = false;  // For that.

/** The log that is looked at, if any. */
const logOf = (/** @type {string} */ of) =>
  of === 'events' ? events.log : of === 'listener' ? listener.log : null;

function drawSoon() {
  drawn ||= requestAnimationFrame(() => {
    drawn = 0;
    draw();
  });
}

function draw() {
  if (view === 'overview') overview.draw();
  if (view === 'listener') listener.draw();
  if (view === 'events') events.draw();
}

const stats = new Feed({
  onOpen: () => model.begin(),
  onMessage: (message) => {
    const before = liveness.instance;
    liveness.onMessage(Date.now(), message.instanceId);
    if (before !== message.instanceId) {
      if (before !== '') {
        events.log.note('The daemon has restarted: all counts begin anew', message.time,
            Date.now() / 1000);
      }
      about = {};
    }
    if (about.instanceId !== message.instanceId) readAbout();
    model.take(message);
    if (!happenings.source) follow();
    showState();
    drawSoon();
  },
  onError: () => {
    liveness.onError(Date.now());
    showState();
  },
});

const happenings = new Feed({
  onMessage: (event) => {
    const now = Date.now() / 1000;
    for (const [kind, what] of Object.entries(event)) {
      if (kind === 'listenerDeleted') model.forget(what.listener.name);
      else if (what?.listener?.spec) model.takeListener(what.listener);
    }
    if (event.snapshotDone) {
      // What was closed in between is in no log.
      if (!news) logOf(view)?.noteHole(event.time, now);
      news = true;
    } else if (news || event.gap) {
      if (view === 'events') events.onEvent(event, now);
      if (view === 'listener') listener.onEvent(event, now);
    }
    drawSoon();
  },
  onRestart: () => { news = false; },
});

/** The events that the view needs: always those that tell what listeners are. */
function wanted() {
  if (view === 'listener' && listener.id !== '') return `listener=${listener.id}`;
  if (view === 'events' && events.kind === '') return '';
  const kinds = view === 'events' ?
      new Set([...LISTENER_KINDS, events.kind]) : LISTENER_KINDS;
  return [...kinds].map((kind) => `kind=${kind.toUpperCase()}`).join('&');
}

/**
 * Follows the events that are wanted now, once all listeners are there: the
 * snapshot is large, and would make them wait. It is of listeners alone, of which
 * it has the specs; connections are asked for a page at a time.
 */
function follow() {
  if (model.begins || !stats.source) return;
  const query = wanted();
  const url = `/events?snapshot=listeners${query && `&${query}`}`;
  if (happenings.url === url && happenings.source) return;
  happenings.open(url);
}

function route() {
  const place = placeOf(location.hash);
  const before = view;
  view = place.view;
  listener.open(place.id);
  for (const name of ['overview', 'listener', 'events']) {
    $(name).hidden = name !== view;
  }
  for (const name of ['overview', 'events']) {
    if (name === view) $(`to-${name}`).setAttribute('aria-current', 'page');
    else $(`to-${name}`).removeAttribute('aria-current');
  }
  document.title = view === 'events' ? 'Events · Portreeve' :
      place.id ? `${place.id} · Portreeve` : 'Portreeve';
  follow();
  draw();
  if (before !== view) {
    scrollTo(0, 0);
    $('content').focus({preventScroll: true});
  }
}

const STATES = {
  connecting: 'connecting', live: 'live', restarted: 'restarted', lost: 'lost',
};

function showState() {
  const {state, since} = liveness;
  const passed = duration(Math.max(0, Math.floor((Date.now() - since) / 1000)));
  $('state').className = `state ${state}`;
  setText($('state-name'), STATES[state]);
  setText($('state-since'), state === 'lost' ? `since ${passed}, trying again` :
      state === 'restarted' ? `${passed} ago, counts begin anew` : '');
  setText($('state-why'), stats.refusal ||
      (happenings.refusal && `no events: ${happenings.refusal}`));
  document.body.classList.toggle('is-lost', state === 'lost');
  // Both times are of the daemon's clock.
  const up = model.time - Date.parse(about.startTime ?? '') / 1000;
  setText($('about'), [about.version ?? '', Number.isNaN(up) ? '' :
      `up ${duration(Math.floor(up))}`].filter((t) => t).join(' · '));
}

async function readAbout() {
  if (asking) return;
  asking = true;
  try {
    const answer = await fetch('/api/daemon');
    const told = answer.ok ? await answer.json() : {};
    // The answer may be of a life that is over meanwhile.
    if (told.instanceId === liveness.instance) about = told;
  } catch {  // The next message of the daemon asks again.
  }
  asking = false;
  showState();
}

setInterval(() => {
  if (!stats.source) return;
  if (liveness.onTick(Date.now()) && stats.source.readyState === EventSource.OPEN) {
    // The way to the daemon may be gone without a word, as after the sleep of a
    // laptop; of events, which may be few, nothing else tells.
    liveness.last = Date.now();
    stats.again();
    if (happenings.source) happenings.again();
  }
  showState();
}, 1000);

let hiding = 0;
function onVisibility() {
  clearTimeout(hiding);
  if (document.hidden) {
    // A browser has few connections to one place for all of its tabs.
    hiding = setTimeout(() => {
      stats.close();
      happenings.close();
      listener.connections.rest(true);
    }, HIDDEN);
  } else if (!stats.source) {
    liveness.onOpen(Date.now());
    stats.open('/stats');
    follow();
    listener.connections.rest(false);
    showState();
  }
}

document.addEventListener('visibilitychange', onVisibility);
addEventListener('hashchange', route);
stats.open('/stats');
route();
onVisibility();  // It may have been opened behind others.
