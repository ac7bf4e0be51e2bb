// The page in Chromium, before a daemon that says what each test wants: its state
// and the overview.
'use strict';

const assert = require('node:assert');
const {after, afterEach, before, beforeEach, test} = require('node:test');
const {Browser, NOW, cells, until} = require('./browser.js');
const {FakeDaemon} = require('./fake_daemon.js');

const PAGE = process.env.PAGE_FILES;
// What Chromium says of a daemon that is gone.
const GONE = /Failed to load resource|ERR_/;
// And of a stream that is none.
const REFUSED = /Failed to load resource|ERR_|EventSource's response has a MIME type/;

const browser = new Browser();
before(() => browser.start());
after(() => browser.stop());

let daemon;
beforeEach(async () => { daemon = await new FakeDaemon(PAGE).start(); });
afterEach(() => daemon.kill());

const state = (page, name) => page.locator(`#state.${name}`).waitFor();
const number = (i) => String(i).padStart(4, '0');
const rowOf = (page, id) => page.locator('#listeners tbody tr', {hasText: id});

// The next second, and waits until the overview shows it.
async function second(page) {
  daemon.daemon.numConnections = (daemon.daemon.numConnections + 1) % 7;
  daemon.tick();
  await until(page, (text) =>
    document.querySelector('#now-connections').textContent === text,
  String(daemon.daemon.numConnections));
}

test('shows what the daemon counts', async () => {
  daemon.listener('web', {
    spec: {handler: {forward: {upstream: {inet: {host: 'app', port: 8080}}}},
      labels: {team: 'edge'}},
    status: {acceptedTotal: '100', bytesReceivedTotal: '1000',
      closedByReason: {PEER_CLOSED: '90', PEER_RESET: '5'}},
    closedTotal: '95', maxConnections: 200,
  });
  await browser.show(daemon.url, {}, async (page) => {
    await state(page, 'live');
    await rowOf(page, 'team=edge').waitFor();
    daemon.listener('web', {status: {acceptedTotal: '140', numConnections: 45,
      bytesReceivedTotal: '3048', bytesSentTotal: '3145728', backlogConnections: 3}});
    await second(page);
    assert.deepStrictEqual(await cells(page), [['web', 'listening',
      'tcp:127.0.0.1:40000', '→ app:8080', '45 / 200', '3', '40', '2.0 KiB',
      '3.0 MiB', '95', 'team=edge']]);
    assert.strictEqual(await page.textContent('#now-accepts'), '40');
    assert.strictEqual(await page.textContent('#now-in'), '2.0 KiB');
    assert.strictEqual(
        await page.locator('td.closes svg').getAttribute('aria-label'),
        '90 in order, 5 by the client');
    assert.match(await page.textContent('#about'), /^0\.9\.0 · up 1 d 2 h$/);
    // Nothing has come since.
    await second(page);
    assert.strictEqual((await cells(page))[0][6], '0');
    assert.strictEqual(await page.textContent('#now-accepts'), '0');
    // One that is new has counted all in this second; one is gone.
    daemon.listener('new', {status: {acceptedTotal: '7'}});
    daemon.delete('web');
    await second(page);
    assert.deepStrictEqual((await cells(page)).map((row) => [row[0], row[6]]),
        [['new', '7']]);
  });
});

test('a label is text, whatever it says', async () => {
  const evil = '<script>document.title=1</script><img src=x onerror=alert(1)>';
  daemon.listener('web', {spec: {labels: {x: evil}},
    status: {state: 'LISTENER_STATE_FAILED',
      failure: {reason: 'X', message: evil}}});
  await browser.show(daemon.url, {}, async (page) => {
    await rowOf(page, evil).waitFor();
    daemon.event({handlerError: {listener: 'listeners/web', message: evil}});
    await page.click('text=web');
    await page.locator('#l-why', {hasText: evil}).waitFor();
    await until(page, () => document.querySelector('#l-spec').innerText.includes('x='));
    daemon.event({handlerError: {listener: 'listeners/web', message: evil}});
    await page.locator('#l-log .entry', {hasText: evil}).waitFor();
    assert.strictEqual(await page.locator('main script, main img').count(), 0);
    assert.strictEqual(await page.title(), 'web · Portreeve');
  });
});

test('a daemon that is lost, and there again, and another life of it', async () => {
  const counted = {status: {acceptedTotal: '5000', bytesSentTotal: '900'}};
  daemon.listener('web', counted);
  await browser.show(daemon.url, {allowed: GONE}, async (page) => {
    await state(page, 'live');
    const {port} = daemon;
    const again = async (instance) => {
      await daemon.kill();
      await state(page, 'lost');
      await until(page, () => /^since \d+ s, trying again$/.test(
          document.querySelector('#state-since').textContent));
      assert.ok(await page.evaluate(() => document.body.matches('.is-lost')));
      daemon = new FakeDaemon(PAGE, instance);
      return daemon;
    };
    (await again('instance-1')).listener('web', counted);
    daemon.time += 5000;
    await daemon.start(port);
    await state(page, 'live');
    daemon.listener('web', {status: {acceptedTotal: '5003'}});
    await second(page);
    assert.strictEqual((await cells(page))[0][6], '3');

    (await again('instance-2')).listener('other', {status: {acceptedTotal: '2'}});
    daemon.time += 9000;
    await daemon.start(port);
    await state(page, 'restarted');
    daemon.listener('other', {status: {acceptedTotal: '4'}});
    await second(page);
    assert.deepStrictEqual((await cells(page)).map((row) => [row[0], row[6]]),
        [['other', '2']]);
    // What is not known is a hole, and no fall and no peak.
    assert.match(await page.getAttribute('#chart-accepts path.line', 'd'), /M.*M/);
    const text = await page.textContent('#state-since');
    assert.match(text, /counts begin anew/);
  });
});

test('a daemon that says nothing is lost, though the connection stands', async () => {
  daemon.listener('web');
  await browser.show(daemon.url, {}, async (page) => {
    await state(page, 'live');
    const [first] = daemon.stats;
    while (daemon.events.size !== 1) await new Promise(setImmediate);
    const [firstEvents] = daemon.events;
    daemon.isSilent = true;
    await page.clock.setFixedTime(NOW + 4000);
    await second(page);
    await page.clock.setFixedTime(NOW + 9000);
    await state(page, 'lost');
    assert.match(await page.textContent('#state-since'), /^since 5 s/);
    // Another stream is tried, and then another one.
    while (daemon.stats.size !== 1 || daemon.stats.has(first)) {
      await new Promise(setImmediate);
    }
    // And of events, where nothing else would tell that they come no more; it
    // goes on where the first has ended.
    while (daemon.events.size !== 1 || daemon.events.has(firstEvents)) {
      await new Promise(setImmediate);
    }
    const [{query}] = daemon.events;
    assert.strictEqual(query.get('last_event_id'), 'instance-1/1');
    assert.strictEqual(query.get('snapshot'), 'listeners');
    daemon.isSilent = false;
    await page.clock.setFixedTime(NOW + 14000);
    await state(page, 'live');
  });
});

const PLAIN = 'text/plain; charset=utf-8';

// Waits until the page says why something is refused, or that nothing is.
const why = (page, text) => until(page, (wanted) =>
  document.querySelector('#state-why').textContent === wanted, text);

test('a stream of statistics that is refused says why, until it is not', async () => {
  daemon.listener('web');
  for (const [refusal, text] of [
    [[403, PLAIN, 'this needs the role observer\n'],
      'refused with 403: this needs the role observer'],
    [[500, 'application/json', '{"code": "INTERNAL", "message": "it is broken"}'],
      'refused with 500: it is broken'],
    [[503, 'application/json', 'no JSON'], 'refused with 503: Service Unavailable'],
    // As of a proxy, which asks for a password, or has a page for that.
    [[401, 'text/html', '<p>Who are you?'], 'refused with 401: Unauthorized'],
    [[200, 'text/html', '<p>Who are you?'], 'answered with text/html'],
  ]) {
    daemon.refusals.set('/stats', refusal);
    const before = daemon.refused;
    await browser.show(daemon.url, {allowed: REFUSED}, async (page) => {
      await why(page, text);
      // Twice each time: the stream, and why.
      while (daemon.refused < before + 4) await new Promise(setImmediate);
      await why(page, text);
      assert.strictEqual((await page.innerText('#state')).replace(/\s+/g, ' ').trim(),
          `connecting ${text}`);
      daemon.refusals.clear();
      await state(page, 'live');
      await why(page, '');
      assert.strictEqual((await page.innerText('#state')).trim(), 'live');
      // Once it was there it is lost, and the page says why as well.
      daemon.refusals.set('/stats', [503, PLAIN, 'there are too many streams\n']);
      for (const stream of daemon.stats) stream.destroy();
      await state(page, 'lost');
      await why(page, 'refused with 503: there are too many streams');
      daemon.refusals.clear();
      await state(page, 'live');
      await why(page, '');
    });
  }
});

test('where a stream is refused once, no other one is left of asking why', async () => {
  await browser.show(daemon.url, {allowed: REFUSED}, async (page) => {
    await state(page, 'live');
    daemon.refusals.set('/stats', [503, PLAIN, 'there are too many streams\n']);
    for (const stream of daemon.stats) stream.destroy();
    while (daemon.refused === 0) await new Promise(setImmediate);
    daemon.refusals.clear();
    await state(page, 'live');
    while (daemon.stats.size !== 1) await new Promise(setImmediate);
    await why(page, '');
  });
});

test('a stream of events that is refused says why, though statistics come', async () => {
  daemon.listener('web');
  daemon.refusals.set('/events', [503, PLAIN, 'there are too many streams\n']);
  await browser.show(daemon.url, {allowed: REFUSED}, async (page) => {
    await state(page, 'live');
    await why(page, 'no events: refused with 503: there are too many streams');
    await Browser.keep(page, 'page-refused');
    await second(page);
    daemon.refusals.clear();
    await why(page, '');
    while (daemon.events.size !== 1) await new Promise(setImmediate);
    await state(page, 'live');
  });
});

test('of a daemon that has refused and is gone no reason is said', async () => {
  daemon.refusals.set('/stats', [503, PLAIN, 'there are too many streams\n']);
  await browser.show(daemon.url, {allowed: REFUSED}, async (page) => {
    await why(page, 'refused with 503: there are too many streams');
    await daemon.kill();
    await why(page, '');
    assert.strictEqual((await page.innerText('#state')).trim(), 'connecting');
  });
  daemon = await new FakeDaemon(PAGE).start();
});

test('a page that nobody sees asks for nothing, and then begins again', async () => {
  daemon.listener('web', {status: {acceptedTotal: '100'}});
  await browser.show(`${daemon.url}#listener/web`, {}, async (page) => {
    await state(page, 'live');
    const held = () => [daemon.stats.size, daemon.events.size];
    const until = async (condition) => {
      while (!condition()) await new Promise(setImmediate);
    };
    await until(() => String(held()) === '1,1');
    // Another tab for less than a minute.
    await page.evaluate(() => window.look(false));
    await page.clock.runFor(59000);
    await page.evaluate(() => window.look(true));
    await page.clock.runFor(59000);
    assert.deepStrictEqual(held(), [1, 1]);
    daemon.event({limitReached: {listener: 'listeners/web', limit: 7}});
    await page.locator('#l-log .entry', {hasText: 'limit_reached'}).waitFor();

    await page.evaluate(() => window.look(false));
    await page.clock.runFor(61000);
    await until(() => String(held()) === '0,0');
    // What is under way is answered, and then there are ten minutes of silence.
    const asks = () => page.evaluate(() => performance.getEntriesByType('resource').length);
    await page.clock.runFor(2000);
    const before = [daemon.asked.length, await asks()];
    await page.clock.runFor(600000);
    assert.deepStrictEqual([daemon.asked.length, await asks()], before);

    // It is seen again, and the daemon says nothing yet.
    daemon.isSilent = true;
    daemon.time += 720000;
    await page.clock.setFixedTime(NOW + 720000);
    await page.evaluate(() => window.look(true));
    await until(() => daemon.stats.size === 1);
    await page.clock.runFor(1100);
    assert.strictEqual((await page.innerText('#state')).trim(), 'connecting');
    await until(() => daemon.asked.slice(before[0]).some(
        (target) => target.startsWith('/api/connections')));
    for (const stream of daemon.stats) daemon.sendAll(stream);
    await state(page, 'live');
    await until(() => String(held()) === '1,1');
    // What was not seen is said.
    await page.locator('#l-log .entry.note', {hasText: 'not followed'}).waitFor();
  });
});

test('a page that was opened behind others asks for nothing after a minute', async () => {
  daemon.listener('web');
  await browser.show(daemon.url, {hidden: true}, async (page) => {
    await state(page, 'live');
    await page.clock.runFor(61000);
    while (daemon.stats.size + daemon.events.size > 0) await new Promise(setImmediate);
    await page.evaluate(() => window.look(true));
    while (daemon.stats.size !== 1) await new Promise(setImmediate);
    await state(page, 'live');
  });
});

test('what the daemon is, is asked until it is known, and for each life', async () => {
  daemon.listener('web');
  daemon.about = false;
  await browser.show(daemon.url, {allowed: GONE}, async (page) => {
    await state(page, 'live');
    const about = () => page.textContent('#about');
    while (!daemon.asked.includes('/api/daemon')) await new Promise(setImmediate);
    await second(page);
    assert.strictEqual(await about(), '');
    daemon.about = true;
    // The clock of the browser is wrong: up for how long is the daemon's matter.
    await page.clock.setFixedTime(NOW + 86400000);
    await second(page);
    await page.locator('#about', {hasText: '0.9.0 · up 1 d 2 h'}).waitFor();
    const asked = daemon.asked.filter((target) => target === '/api/daemon').length;
    await second(page);
    await second(page);
    assert.strictEqual(
        daemon.asked.filter((target) => target === '/api/daemon').length, asked);

    // Of another life nothing is known until it says so.
    const {port} = daemon;
    await daemon.kill();
    await state(page, 'lost');
    daemon = new FakeDaemon(PAGE, 'instance-2');
    daemon.about = false;
    await daemon.start(port);
    await state(page, 'restarted');
    await page.locator('#about', {hasText: /^$/}).waitFor({state: 'attached'});
  });
});

test('what leads nowhere leads to the overview', async () => {
  daemon.listener('web');
  for (const hash of ['#%', '#%E0%A4%A', '#listener/%', '#nothing']) {
    await browser.show(`${daemon.url}${hash}`, {}, async (page) => {
      await rowOf(page, 'web').waitFor();
      await page.evaluate(() => { location.hash = '#events'; });
      await page.locator('#events:not([hidden])').waitFor();
      await page.evaluate((to) => { location.hash = to; }, hash);
      await page.locator('#overview:not([hidden])').waitFor();
      assert.strictEqual(await page.title(), 'Portreeve');
    });
  }
});

test('who waits to be accepted is shown where it is known', async () => {
  daemon.listener('tcp', {status: {backlogConnections: 3}});
  daemon.listener('unix', {status: {listeningOn: {unixSocket: {path: '/run/a'}}}});
  daemon.listener('closed', {status: {state: 'LISTENER_STATE_CLOSED'}});
  daemon.listener('failed', {status: {state: 'LISTENER_STATE_FAILED',
    effectiveBacklog: 0}});
  await browser.show(daemon.url, {}, async (page) => {
    const backlogs = async () => Object.fromEntries(
        (await cells(page)).map((row) => [row[0], row[5]]));
    await rowOf(page, 'unix').waitFor();
    assert.deepStrictEqual(await backlogs(),
        {tcp: '3', unix: '–', closed: '–', failed: '–'});
    await page.click('th >> text=Backlog');
    assert.strictEqual((await cells(page))[0][0], 'tcp');
    for (const [id, backlog] of [['tcp', '3 of 4,096'], ['unix', '– of 4,096'],
      ['closed', '– of 4,096'], ['failed', '–']]) {
      await page.evaluate((to) => { location.hash = to; }, `#listener/${id}`);
      await page.locator('#l-name', {hasText: id}).waitFor();
      await until(page, (text) => {
        const facts = document.querySelector('#l-status').innerText.split('\n');
        return facts[facts.indexOf('Backlog') + 1] === text;
      }, backlog);
    }
  });
});

test('counters of any size', async () => {
  daemon.listener('web', {status: {acceptedTotal: '9007199254740993'}});
  await browser.show(`${daemon.url}#listener/web`, {}, async (page) => {
    await page.locator('#l-status', {hasText: '9,007,199,254,740,993'}).waitFor();
    daemon.listener('web', {status: {acceptedTotal: '9007199254740994'}});
    daemon.tick();
    await until(page, () => document.querySelector('#l-accepts').textContent === '1');
  });
});

test('5000 listeners: the first row within a second, few in the page', async (t) => {
  for (let i = 0; i < 5000; ++i) {
    daemon.listener(`t${number(i)}`, {spec: {labels: {team: `t${i % 10}`}},
      status: {acceptedTotal: String(i)}});
  }
  // The best of three, for other programs run here, too.
  let best = Infinity;
  for (let i = 0; i < 3; ++i) {
    await browser.show(daemon.url, {}, async (page) => {
      best = Math.min(best, await page.evaluate(() => new Promise((done) => {
        const look = () => document.querySelector('#listeners tbody a') ?
          done(performance.now()) : requestAnimationFrame(look);
        look();
      })));
    });
  }
  t.diagnostic(`the first row after ${best.toFixed(0)} ms`);
  assert.ok(best < 1000, `${best} ms`);
  await browser.show(daemon.url, {}, async (page) => {
    await page.locator('#shown', {hasText: '5,000 listeners'}).waitFor();
    const rows = page.locator('#listeners tbody tr');
    assert.ok(await rows.count() < 60, `${await rows.count()} rows`);
    assert.strictEqual(await page.getAttribute('#listeners', 'aria-rowcount'), '5001');
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await rowOf(page, 't4999').waitFor();
    assert.ok(await rows.count() < 60);
    assert.strictEqual(
        await rowOf(page, 't4999').getAttribute('aria-rowindex'), '5001');
    // A second in which all have counted.
    for (let i = 0; i < 5000; ++i) {
      daemon.listener(`t${number(i)}`, {status: {acceptedTotal: String(i + 1)}});
    }
    await second(page);
    assert.strictEqual(await page.textContent('#now-accepts'), '5,000');
  });
});

test('filter and order', async () => {
  for (let i = 0; i < 40; ++i) {
    daemon.listener(`t${number(i)}`, {spec: {labels: {team: i % 2 ? 'edge' : 'data'}},
      status: {numConnections: (i * 7) % 40}});
  }
  await browser.show(daemon.url, {}, async (page) => {
    const names = async () => (await cells(page)).map((row) => row[0]);
    await page.locator('#shown', {hasText: '40 listeners'}).waitFor();
    await rowOf(page, 'team=data').first().waitFor();
    await page.fill('#filter', 'team=edge t003');
    assert.deepStrictEqual(await names(), [31, 33, 35, 37, 39].map((i) => `t${number(i)}`));
    assert.strictEqual(await page.textContent('#shown'), '5 of 40 listeners');
    await page.fill('#filter', 'team=e nothing');
    assert.strictEqual(await page.textContent('#none'), 'No listener is like that.');
    await page.fill('#filter', '');
    await page.click('th >> text=Open / max');
    assert.strictEqual(await page.getAttribute('th.open', 'aria-sort'), 'descending');
    let open = (await cells(page)).map((row) => parseInt(row[4]));
    assert.deepStrictEqual(open, [...open].sort((a, b) => b - a));
    assert.strictEqual(open[0], 39);
    await page.click('th >> text=Open / max');
    open = (await cells(page)).map((row) => parseInt(row[4]));
    assert.strictEqual(open[0], 0);
    assert.strictEqual(await page.locator('[aria-sort]').count(), 1);
    // Rows do not run away from under the pointer.
    await page.hover('#listeners tbody tr:nth-child(3)');
    const before = await names();
    daemon.listener('t0000', {status: {numConnections: 77}});
    await second(page);
    assert.deepStrictEqual(await names(), before);
  });
});

test('the keyboard reaches everything', async () => {
  for (let i = 0; i < 200; ++i) daemon.listener(`t${number(i)}`);
  await browser.show(daemon.url, {}, async (page) => {
    await page.locator('#shown', {hasText: '200 listeners'}).waitFor();
    const focused = () => page.evaluate(() => document.activeElement.innerText ||
        document.activeElement.id);
    const walk = [];
    for (let i = 0; i < 30 && walk[walk.length - 1] !== 't0000'; ++i) {
      await page.keyboard.press('Tab');
      walk.push(await focused());
    }
    assert.deepStrictEqual(walk, ['Skip to the content', 'Overview', 'Events',
      '60 s', '15 min', 'filter', 'Listener', 'State', 'Address', 'Handler',
      'Open / max', 'Backlog', 'Accepts/s', 'In/s', 'Out/s', 'Closed', 'Labels',
      't0000']);
    await page.keyboard.press('ArrowDown');
    assert.strictEqual(await focused(), 't0001');
    await page.keyboard.press('End');
    assert.strictEqual(await focused(), 't0199');
    await page.keyboard.press('ArrowUp');
    assert.strictEqual(await focused(), 't0198');
    await second(page);
    assert.strictEqual(await focused(), 't0198');
    // It is seen where it is.
    const box = await page.locator(':focus').boundingBox();
    assert.ok(box.y > 0 && box.y + box.height <= 800, JSON.stringify(box));
    const outline = await page.evaluate(() =>
      getComputedStyle(document.activeElement).outlineStyle);
    assert.notStrictEqual(outline, 'none');
    await page.keyboard.press('Enter');
    await page.locator('#l-name', {hasText: 't0198'}).waitFor();
    assert.strictEqual(await page.evaluate(() => document.activeElement.id), 'content');
    await page.keyboard.press('Tab');
    assert.strictEqual(await focused(), '← All listeners');
  });
});
