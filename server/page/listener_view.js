// The view of one listener.
import {LineChart} from './chart.js';
import {showCommands} from './commands.js';
import {ConnectionPages} from './connections.js';
import {$, setFacts, setText} from './dom.js';
import {address, bytes, clock, count, handler, int64, labels, rate,
  word} from './format.js';
import {DURATIONS, LATENCIES, drawCounts, drawHistogram} from './histogram.js';
import {EventLog} from './log.js';
import {LogView} from './log_view.js';

/** @typedef {import('./model.js').Model} Model */

const NO_HISTOGRAM = 'The daemon counts this for each listener where it is ' +
    'started with --metrics-histograms=listener.';

/** @param {any} spec @returns {[string, string][]} */
function specFacts(spec) {
  if (!spec) return [];
  const limit = spec.bufferAgeLimit;
  return [
    ['Handler', handler(spec)],
    ['Connect timeout', spec.handler?.forward?.connectTimeout ?? ''],
    ['Claim timeout', spec.handler?.remote?.claimTimeout ?? ''],
    ['Max. connections', count(spec.maxConnections ?? 0)],
    ['Max. pending', count(spec.maxPendingConnections ?? 0)],
    ['Accepts at a time', count(spec.maxAcceptsPerBatch ?? 0)],
    ['Buffer age limit', limit?.unlimited ? 'none' : limit?.atMost ?? ''],
    ['On handler error', word(spec.onHandlerError, 'ON_HANDLER_ERROR_')],
    ['Drops all', spec.dropIncomingConnections ? 'yes' : ''],
    ['Access log', word(spec.accessLog?.mode, 'ACCESS_LOG_MODE_')],
    ['Labels', labels(spec.labels)],
  ];
}

/** @param {import('./model.js').Row} row @returns {[string, string][]} */
function statusFacts(row) {
  const {status} = row;
  const isRemote = row.spec?.handler?.remote !== undefined;
  return [
    ['Address', address(status.listeningOn)],
    ['Since', status.openedTime ? new Date(status.openedTime).toLocaleString() : ''],
    ['Open', `${count(row.open)} of ${count(row.most)}`],
    ['Backlog', status.effectiveBacklog ?
        `${count(row.backlog)} of ${count(status.effectiveBacklog)}` : '–'],
    ['Workers', isRemote ? count(status.workers ?? 0) : ''],
    ['Accepted', count(int64(status.acceptedTotal))],
    ['Dropped', count(int64(status.droppedTotal))],
    ['Closed', count(int64(row.stats.closedTotal))],
    ['Handler errors', count(int64(status.handlerErrorsTotal))],
    ['Upstream connects', row.spec?.handler?.forward ?
        `${count(int64(row.stats.upstreamConnectsTotal))}, ` +
        `${count(int64(row.stats.upstreamConnectErrorsTotal))} failed` : ''],
    ['Bytes in', count(int64(status.bytesReceivedTotal))],
    ['Bytes out', count(int64(status.bytesSentTotal))],
    ['Asked for by', word(status.source, 'LISTENER_SOURCE_')],
    ['Close cause', word(status.closeCause, 'CLOSE_CAUSE_')],
  ];
}

export class ListenerView {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.id = '';
    this.accepts = new LineChart($('l-chart-accepts'),
        {title: 'Accepts per second', names: ['accepts'], text: count});
    this.bytes = new LineChart($('l-chart-bytes'),
        {title: 'Bytes in and out per second', names: ['in', 'out'], text: bytes,
          base: 1024});
    this.log = new EventLog();
    this.logView = new LogView($('l-log'), 'Nothing has happened since you look.');
    this.connections = new ConnectionPages(model);
  }

  /** @param {string} id Empty: of none. */
  open(id) {
    setText($('l-name'), id);
    showCommands($('l-commands'), id === '' ? [] : [`portreeve describe ${id}`,
      `portreeve watch --listener ${id}`, `portreeve close ${id}`]);
    if (id === this.id) return;
    this.id = id;
    this.log.clear();
    this.connections.open(id);
  }

  close() { this.open(''); }

  /** @param {any} event @param {number} now */
  onEvent(event, now) {
    this.log.add(event, now);
    const closed = event.connectionClosed?.connection;
    if (closed) this.connections.onClosed(closed);
  }

  draw() {
    const row = this.model.rows.get(`listeners/${this.id}`);
    this.logView.draw(this.log.entries);
    this.connections.draw();
    const badge = $('l-state');
    badge.className = `badge ${row?.state ?? ''}`;
    setText(badge, row?.state ?? (this.model.begins ? '' : 'there is none'));
    const failure = row?.status.failure;
    $('l-why').hidden = !failure;
    if (failure) {
      setText($('l-why'), `${failure.reason}: ${failure.message}` +
          (failure.nextAttemptTime ?
              ` Tried again at ${clock(failure.nextAttemptTime)}.` : ''));
    }
    $('l-facts').hidden = !row;
    if (!row) return;
    const {model} = this;
    setFacts($('l-spec'), specFacts(row.spec));
    setFacts($('l-status'), statusFacts(row));
    const minute = (/** @type {'accepts'|'received'|'sent'} */ what) =>
      model.minute(row, what);
    this.accepts.draw([minute('accepts')], '60 s');
    this.bytes.draw([minute('received'), minute('sent')], '60 s');
    setText($('l-accepts'), rate(row.rate('accepts', model.tick)));
    setText($('l-in'), bytes(row.rate('received', model.tick)));
    setText($('l-out'), bytes(row.rate('sent', model.tick)));
    const reasons = Object.entries(row.status.closedByReason ?? {}).sort(
        ([a], [b]) => a < b ? -1 : 1).map(
        ([reason, number]) => /** @type {[string, bigint]} */ ([
          reason.toLowerCase().replace(/^.*\//, '– ').replaceAll('_', ' '),
          int64(number)]));
    drawCounts($('l-reasons').tBodies[0], reasons);
    const {stats} = row;
    const none = (/** @type {any} */ histogram) =>
      histogram ? 'None yet.' : NO_HISTOGRAM;
    drawHistogram($('l-duration'), $('l-duration-quantiles'),
        stats.connectionDuration, DURATIONS, none(stats.connectionDuration));
    drawHistogram($('l-latency'), $('l-latency-quantiles'),
        stats.connectLatency, LATENCIES,
        row.spec && !row.spec.handler?.forward ? 'It has no upstream.' :
            none(stats.connectLatency));
  }
}
