// How the page looks: on wide and narrow screens, light and dark, with few and
// with many listeners. The pictures are outputs of the test.
'use strict';

const assert = require('node:assert');
const {after, before, test} = require('node:test');
const {Browser, until} = require('./browser.js');
const {FakeDaemon} = require('./fake_daemon.js');

const PAGE = process.env.PAGE_FILES;
const NAMES = ['web', 'api', 'postgres', 'metrics', 'admin', 'redis', 'smtp', 'echo'];

const browser = new Browser();
before(() => browser.start());
after(() => browser.stop());

// A daemon with traffic that is the same each time.
class BusyDaemon extends FakeDaemon {
  fill(number) {
    this.busy = [];
    for (let i = 0; i < number; ++i) {
      const id = NAMES[i] ?? `tenant-${String(i).padStart(4, '0')}`;
      const handler = [
        {forward: {upstream: {inet: {host: `10.0.1.${i % 9}`, port: 8080}}}},
        {echo: {}}, {remote: {claimTimeout: '10s'}},
      ][i % 3];
      this.listener(id, {spec: {handler,
        labels: {team: ['edge', 'data', 'core'][i % 3], env: 'prod'}}});
      this.busy.push({id, accepted: 40 * (i % 50), closed: 0, open: 0});
    }
    this.listener(NAMES[1], {status: {state: 'LISTENER_STATE_FAILED',
      failure: {reason: 'ADDRESS_IN_USE',
        message: 'tcp:127.0.0.1:8443 is taken by another process.'}}});
    this.move(0);
  }

  move(second) {
    let sum = 0;
    for (const [i, one] of this.busy.entries()) {
      const come = i === 1 ? 0 :
        Math.round((i % 7 === 0 ? 40 : i % 4) * (1.2 + Math.sin(second / 6 + i)));
      const go = Math.min(one.open, Math.round(come * 0.97));
      one.accepted += come;
      one.closed += go;
      one.open += come - go;
      sum += one.open;
      const reasons = {PEER_CLOSED: Math.round(one.closed * 0.9),
        PEER_RESET: Math.round(one.closed * 0.06),
        UPSTREAM_UNREACHABLE: i % 3 ? 0 : Math.round(one.closed * 0.04)};
      this.listener(one.id, {closedTotal: String(one.closed),
        maxConnections: i % 5 ? 10000 : 120,
        status: {acceptedTotal: String(one.accepted), numConnections: one.open,
          bytesReceivedTotal: String(one.accepted * 4200),
          bytesSentTotal: String(one.accepted * 51000),
          backlogConnections: i % 13 ? 0 : come % 5,
          closedByReason: Object.fromEntries(Object.entries(reasons)
              .filter(([, n]) => n > 0).map(([k, n]) => [k, String(n)]))}});
    }
    this.daemon.numConnections = sum;
    this.daemon.openFds = String(sum + 41);
    this.daemon.cpuTime = `${(second * 0.13).toFixed(2)}s`;
  }

  // Some seconds at once; the overview, if that is what is seen, shows the last
  // when this ends.
  async run(page, seconds) {
    for (let i = 1; i <= seconds; ++i) {
      this.move(i);
      this.tick();
    }
    await until(page, (sum) => document.querySelector('#overview').hidden ||
        document.querySelector('#now-connections').textContent
            .replaceAll(',', '') === sum, String(this.daemon.numConnections));
  }
}

async function busy(number) {
  const daemon = await new BusyDaemon(PAGE).start();
  daemon.fill(number);
  return daemon;
}

// Text that stands out too little from what is behind it (WCAG 2.1, 1.4.3), of
// what is seen.
function faint() {
  const canvas = document.createElement('canvas').getContext('2d',
      {willReadFrequently: true});
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (color) => {
    const [r, g, b] = color.slice(0, 3).map((value) => {
      const c = value / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  let looked = 0;
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(
        (node) => node.nodeType === 3 && node.textContent.trim() !== '');
    if (!own || !element.checkVisibility({checkVisibilityCSS: true})) continue;
    if (element.matches(':disabled')) continue;
    ++looked;
    const [a, b] = [rgba(getComputedStyle(element).color), behind(element)]
        .map(luminance).sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) {
      found.push(`${element.className} "${element.textContent}" ${contrast.toFixed(2)}`);
    }
  }
  return looked < 20 ? [`only ${looked} looked at`] : found;
}

for (const number of [3, 300, 5000]) {
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1280, 400]) {
      const name = `overview-${number}-${colorScheme}-${width}`;
      test(name, async () => {
        const daemon = await busy(number);
        try {
          await browser.show(daemon.url, {colorScheme, width}, async (page) => {
            await page.locator('td.accepts').first().waitFor();
            await daemon.run(page, number === 5000 ? 20 : 62);
            await until(page, () => document.querySelector('#listeners tbody th').innerText);
            await Browser.keep(page, name);
            assert.deepStrictEqual(await page.evaluate(faint), []);
            assert.ok(await page.evaluate(() =>
              document.documentElement.scrollWidth <= innerWidth), 'it is too wide');
          });
        } finally {
          await daemon.kill();
        }
      });
    }
  }
}

const CONNECTION = {
  name: 'connections/c1', listener: 'listeners/web', state: 'CONNECTION_STATE_OPEN',
  peer: {inet: {address: '10.0.0.9', port: 51814}},
  upstream: {inet: {address: '10.0.1.4', port: 8080}},
  bytesReceived: '585', bytesSent: '70000', createTime: '2026-11-28T19:00:00Z',
};

for (const colorScheme of ['light', 'dark']) {
  for (const width of [1280, 400]) {
    for (const [view, place] of [['listener', 'listener/web'],
      ['failed', 'listener/api'], ['events', 'events'], ['lost', '']]) {
      const name = `${view}-${colorScheme}-${width}`;
      test(name, async () => {
        const daemon = await busy(8);
        try {
          daemon.connections.push(CONNECTION);
          const options = {colorScheme, width, allowed: /Failed to load|ERR_/};
          await browser.show(`${daemon.url}#${place}`, options, async (page) => {
            await page.locator('#state.live').waitFor();
            await daemon.run(page, 62);
            if (view === 'events' || view === 'listener') {
              const log = view === 'events' ? '#log' : '#l-log';
              daemon.event({connectionAccepted: {connection: CONNECTION}});
              daemon.event({gap: {firstRevision: '1', lastRevision: '9', count: '9'}});
              daemon.event({limitReached: {listener: 'listeners/web', limit: 120}});
              await page.locator(`${log} .entry`, {hasText: 'limit_reached'}).waitFor();
            }
            if (view === 'lost') {
              await daemon.kill();
              await page.locator('#state.lost').waitFor();
            }
            await Browser.keep(page, name);
            assert.deepStrictEqual(await page.evaluate(faint), []);
            assert.ok(await page.evaluate(() =>
              document.documentElement.scrollWidth <= innerWidth), 'it is too wide');
          });
        } finally {
          await daemon.kill();
        }
      });
    }
  }
}

// The longest that there may be, without a place to break at.
const LONG_ID = 'a'.repeat(63);
const LONG_PATH = `/run/${'x'.repeat(100)}`;
for (const width of [1280, 400]) {
  for (const place of ['', `listener/${LONG_ID}`, 'events', 'listener/No']) {
    const name = `long-${place.replace(LONG_ID, 'a').replace('/', '-')}-${width}`;
    test(name, async () => {
      const daemon = await busy(3);
      try {
        daemon.listener(LONG_ID, {
          spec: {labels: {['l'.repeat(63)]: 'v'.repeat(63)},
            handler: {forward: {upstream: {unixSocket: {path: LONG_PATH}}}}},
          status: {state: 'LISTENER_STATE_FAILED',
            listeningOn: {unixSocket: {path: LONG_PATH}},
            failure: {reason: 'ADDRESS_IN_USE', message: `${LONG_PATH} is taken`}},
        });
        daemon.connections.push({...CONNECTION, listener: `listeners/${LONG_ID}`,
          upstream: {unixSocket: {path: LONG_PATH}}});
        await browser.show(`${daemon.url}#${place}`, {width}, async (page) => {
          await page.locator('#state.live').waitFor();
          while (daemon.events.size !== 1) await new Promise(setImmediate);
          await daemon.run(page, 3);
          if (place === 'events' || place.endsWith(LONG_ID)) {
            daemon.event({listenerFailed: {listener: {name: `listeners/${LONG_ID}`,
              spec: daemon.listeners.get(LONG_ID).spec,
              status: daemon.listeners.get(LONG_ID).stats.status}}});
            await page.locator('.entry:visible').waitFor();
          }
          if (place.endsWith(LONG_ID)) {
            await page.locator('#l-open .copy').waitFor();
            await page.locator('#l-commands .copy').first().click();
            await page.locator('#toast.shown').waitFor();
          }
          if (place === '') await page.locator('#listeners a', {hasText: LONG_ID}).waitFor();
          await Browser.keep(page, name);
          assert.ok(await page.evaluate(() =>
            document.documentElement.scrollWidth <= innerWidth), 'it is too wide');
          // All of it is within the screen, but what is in a box that scrolls.
          assert.deepStrictEqual(await page.evaluate(() =>
            [...document.querySelectorAll('button, h2, p, dd, code, a')].filter((one) =>
              one.checkVisibility() && !one.closest('table, .log, .skip') &&
              one.getBoundingClientRect().right > innerWidth).map((one) => one.outerHTML)),
          []);
        });
      } finally {
        await daemon.kill();
      }
    });
  }
}

test('nothing jumps while numbers grow', async () => {
  const daemon = await busy(300);
  try {
    await browser.show(daemon.url, {}, async (page) => {
      await page.locator('td.accepts').first().waitFor();
      await daemon.run(page, 3);
      const places = () => page.evaluate(() => [...document.querySelectorAll(
          'th, td, .tile, .chart, .bar, button')].filter((e) => e.checkVisibility()).map(
          (element) => JSON.stringify(element.getBoundingClientRect())));
      const before = await places();
      for (const one of daemon.busy) {
        Object.assign(one, {accepted: one.accepted + 1234567, open: 9999});
      }
      await daemon.run(page, 5);
      assert.deepStrictEqual(await places(), before);
    });
  } finally {
    await daemon.kill();
  }
});
