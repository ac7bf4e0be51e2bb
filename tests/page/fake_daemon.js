// A daemon's HTTP port as the page sees it, whose every word a test decides: what
// a real one says when is not for a test to choose.
'use strict';

const fs = require('fs');
const http = require('http');
const path = require('path');

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
};
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; " +
    "connect-src 'self'; frame-ancestors 'none'";

class FakeDaemon {
  constructor(folder, instance = 'instance-1') {
    this.folder = folder;
    this.instance = instance;
    this.listeners = new Map();  // {spec, stats}, by ID.
    this.connections = [];
    this.daemon = {
      numConnections: 0, openFds: '41', maxFds: '1048576', cpuTime: '1.5s',
      residentBytes: '52428800', loopLag: '0.000080s', eventsLastRevision: '1',
    };
    this.time = Date.parse('2026-11-28T20:00:00Z');
    this.revision = 1;
    this.stats = new Set();   // Streams that are open.
    this.events = new Set();
    this.sockets = new Set();
    this.changed = new Set();
    this.deleted = [];
    this.isSilent = false;  // On new streams of statistics.
    // What is answered in place of a stream, by its path: [status, type, text].
    this.refusals = new Map();
    this.refused = 0;       // How many were answered so.
    this.about = true;      // It says what it is.
    this.kept = [];         // Events: {revision, event}.
    this.asked = [];        // The targets of all requests.
    this.server = http.createServer((request, answer) => this.answer(request, answer));
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
  }

  async start(port = 0) {
    await new Promise((done) => this.server.listen(port, '127.0.0.1', done));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/`;
    return this;
  }

  // Ends as SIGKILL ends a daemon.
  async kill() {
    const closed = new Promise((done) => this.server.close(done));
    for (const socket of this.sockets) socket.resetAndDestroy();
    await closed;
  }

  answer(request, answer) {
    const url = new URL(request.url, 'http://x');
    const head = {
      'Content-Security-Policy': POLICY, 'X-Content-Type-Options': 'nosniff',
      'Cache-Control': 'no-store',
    };
    const json = (value, status = 200) => {
      answer.writeHead(status, {...head, 'Content-Type': 'application/json'});
      answer.end(JSON.stringify(value));
    };
    this.asked.push(request.url);
    const refusal = this.refusals.get(url.pathname);
    if (refusal) {
      ++this.refused;
      answer.writeHead(refusal[0], {...head, 'Content-Type': refusal[1]});
      answer.end(refusal[2]);
    } else if (url.pathname === '/stats' || url.pathname === '/events') {
      answer.writeHead(200, {...head, 'Content-Type': 'text/event-stream'});
      const of = url.pathname === '/stats' ? this.stats : this.events;
      answer.query = url.searchParams;
      of.add(answer);
      answer.on('close', () => of.delete(answer));
      answer.flushHeaders();
      if (of === this.events) {
        this.sendEvents(answer, request.headers['last-event-id'] ||
            url.searchParams.get('last_event_id'));
      } else if (!this.isSilent) {
        this.sendAll(answer);
      }
    } else if (url.pathname === '/api/daemon' && !this.about) {
      json({code: 'UNAVAILABLE'}, 503);
    } else if (url.pathname === '/api/daemon') {
      json({version: '0.9.0', instanceId: this.instance,
        startTime: '2026-11-27T17:55:00Z'});
    } else if (url.pathname === '/api/connections') {
      const of = `listeners/${url.searchParams.get('listener')}`;
      const size = Number(url.searchParams.get('page_size'));
      const from = Number(url.searchParams.get('page_token') || 0);
      const all = this.connections.filter((c) => c.listener === of);
      json({connections: all.slice(from, from + size),
        ...(from + size < all.length && {nextPageToken: String(from + size)})});
    } else {
      const name = url.pathname === '/' ? 'page.html' : url.pathname.slice(1);
      const file = path.join(this.folder, path.basename(name));
      if (!fs.existsSync(file)) return json({code: 'NOT_FOUND'}, 404);
      answer.writeHead(200, {...head, 'Content-Type': TYPES[path.extname(file)]});
      answer.end(fs.readFileSync(file));
    }
  }

  // A listener of that ID; `status` and `more` are changes of what it has.
  listener(id, {spec = {}, status = {}, ...more} = {}) {
    const known = this.listeners.get(id) ?? {
      spec: {
        whereToListen: {inet: {address: '127.0.0.1', port: 0}},
        handler: {echo: {}}, maxConnections: 10000, maxPendingConnections: 4096,
        maxAcceptsPerBatch: 1, bufferAgeLimit: {atMost: '120s'},
        onHandlerError: 'ON_HANDLER_ERROR_RAISE',
      },
      stats: {name: `listeners/${id}`, maxConnections: 10000, status: {
        state: 'LISTENER_STATE_LISTENING',
        listeningOn: {inet: {address: '127.0.0.1', port: 40000 + this.listeners.size % 20000}},
        effectiveBacklog: 4096, source: 'LISTENER_SOURCE_CLIENT',
        openedTime: '2026-11-28T18:00:00Z', createTime: '2026-11-28T18:00:00Z',
      }},
    };
    Object.assign(known.spec, spec);
    Object.assign(known.stats.status, status);
    Object.assign(known.stats, more);
    this.listeners.set(id, known);
    this.changed.add(id);
    return known;
  }

  delete(id) {
    this.listeners.delete(id);
    this.deleted.push(`listeners/${id}`);
  }

  message(ids, more = {}) {
    return {
      time: new Date(this.time).toISOString(), instanceId: this.instance,
      daemon: this.daemon, listeners: ids.map((id) => this.listeners.get(id).stats),
      ...more,
    };
  }

  static write(streams, message, id) {
    const text = (id ? `id: ${id}\n` : '') + `data: ${JSON.stringify(message)}\n\n`;
    for (const stream of streams) stream.write(text);
  }

  sendAll(stream) {
    const ids = [...this.listeners.keys()];
    const PART = 2000;
    for (let i = 0; i === 0 || i < ids.length; i += PART) {
      FakeDaemon.write([stream], this.message(ids.slice(i, i + PART),
          i + PART < ids.length ? {hasMore: true} : {}));
    }
  }

  // What comes after the event of that id; a snapshot where there is none.
  sendEvents(stream, lastId) {
    const [instance, revision] = (lastId || '').split('/');
    if (instance === this.instance && Number(revision) <= this.revision) {
      for (const {revision: own, event} of this.kept) {
        if (own > Number(revision)) {
          FakeDaemon.write([stream], event, `${this.instance}/${own}`);
        }
      }
      return;
    }
    if (lastId) stream.write('event: restart\ndata: {"reason":"INSTANCE_CHANGED"}\n\n');
    this.sendSnapshot(stream);
  }

  sendSnapshot(stream) {
    for (const [id, {spec, stats}] of this.listeners) {
      FakeDaemon.write([stream], {
        revision: String(this.revision), instanceId: this.instance,
        time: new Date(this.time).toISOString(), listenerCreated: {
          listener: {name: `listeners/${id}`, spec, status: stats.status},
        },
      });
    }
    this.event({snapshotDone: {}}, [stream]);
  }

  // The next second: what has changed.
  tick() {
    this.time += 1000;
    const changed = [...this.changed].filter((id) => this.listeners.has(id));
    FakeDaemon.write(this.stats, this.message(changed, {deleted: this.deleted}));
    this.changed.clear();
    this.deleted = [];
  }

  event(kind, streams = this.events) {
    if (!kind.snapshotDone) ++this.revision;
    const {revision} = this;
    const event = {
      revision: String(revision), instanceId: this.instance,
      time: new Date(this.time).toISOString(), ...kind,
    };
    if (!kind.snapshotDone) this.kept.push({revision, event});
    FakeDaemon.write(streams, event, `${this.instance}/${revision}`);
  }
}

module.exports = {FakeDaemon};
