// Chromium, and pages in it that may do nothing wrong.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');

const {chromium} = require('playwright-core');

const CHROMIUM = '/usr/bin/chromium';
const OUTPUTS = process.env.TEST_UNDECLARED_OUTPUTS_DIR || process.env.TEST_TMPDIR;

const NOW = Date.parse('2026-11-28T20:00:00Z');

class Browser {
  async start() {
    assert.ok(fs.existsSync(CHROMIUM),
        'there is no chromium; ./bazelw installs it where `browser` is among its arguments');
    this.chromium = await chromium.launch(
        {executablePath: CHROMIUM, args: ['--no-sandbox']});
  }
  async stop() { await this.chromium?.close(); }

  // Calls `f` with a page that shows `url`. What the page gets wrong fails: an
  // exception, a line of the console, or a place that the policy of the answer
  // does not allow. `allowed` is of lines that are right, as where a daemon is
  // gone. Its clock stands at NOW, so that what a test does not say is not missed,
  // however slow the machine is; with `clock: false` it goes. With `hidden` nobody
  // sees it, until the test calls window.look(true) in it.
  async show(url, options, f) {
    const {allowed = /(?!)/, width = 1280, height = 800, clock = true,
      hidden = false, ...rest} = options;
    const context = await this.chromium.newContext(
        {viewport: {width, height}, locale: 'en-US', timezoneId: 'UTC', ...rest});
    const wrong = [];
    try {
      const page = await context.newPage();
      page.on('pageerror', (error) => wrong.push(String(error.stack)));
      page.on('console', (line) => {
        if (!allowed.test(line.text())) wrong.push(`console: ${line.text()}`);
      });
      await page.addInitScript(() => {
        addEventListener('securitypolicyviolation', (event) => {
          console.error(`not allowed: ${event.violatedDirective} ${event.blockedURI}`);
        });
      });
      await page.addInitScript((hidden) => {
        Object.defineProperty(document, 'hidden', {get: () => hidden});
        window.look = (seen) => {
          hidden = !seen;
          document.dispatchEvent(new Event('visibilitychange'));
        };
      }, hidden);
      if (clock) await page.clock.setFixedTime(NOW);
      await page.goto(url);
      await f(page, context);
      assert.deepStrictEqual(wrong, []);
      assert.deepStrictEqual(await context.cookies(), []);
    } finally {
      await context.close();
    }
  }

  // Keeps a picture among the outputs of the test.
  static async keep(page, name) {
    await page.screenshot({path: path.join(OUTPUTS, `${name}.png`)});
  }
}

// The text of each cell of the rows that are in the page.
const cells = (page, table = '#listeners') => page.$$eval(
    `${table} tbody tr:not(.space):not([hidden])`,
    (rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim())));

// Waits until f(argument), in the page, is true.
const until = (page, f, argument) => page.waitForFunction(f, argument);

module.exports = {Browser, NOW, cells, until};
