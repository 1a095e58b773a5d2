// The page that shows many kernels, as a person uses it.

import { equal } from '../../www/story/tally.mjs';

/** What the library says of failures that the tests bring about is no failure of the page. */
const EXPECTED = /relay lost|closed before the connection is established|WebSocket connection to|reservation/;

/** @typedef {import('../../www/story/stage.mjs').Stage} Stage */

export class LabPage {
  /** @type {string[]} What the page complained of. */
  complaints = [];
  /** @type {Set<string>} Every address that the page, its frames and its Workers asked. */
  asked = new Set();

  /**
   * @param {Stage} stage
   * @param {import('playwright-core').Page} page
   */
  constructor(stage, page) {
    this.stage = stage;
    this.page = page;
    page.setDefaultTimeout(20_000);
    page.on('request', (request) => this.asked.add(request.url()));
    page.on('websocket', (socket) => this.asked.add(socket.url()));
    page.on('pageerror', (error) => this.complaints.push(String(error.stack ?? error)));
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()) && !EXPECTED.test(message.text())) {
        this.complaints.push(message.text());
      }
    });
  }

  /**
   * Opens the page in a context of its own, and waits until its kernels run and know each other.
   * @param {Stage} stage
   * @param {{ settings?: Record<string, string>, kernels?: number, context?: import('playwright-core').BrowserContextOptions }} [how]
   */
  static async open(stage, { context = {}, ...how } = {}) {
    return LabPage.openIn(await stage.browser.newContext(context), stage, how);
  }

  /**
   * The same in a context that is there.
   * @param {import('playwright-core').BrowserContext} context
   * @param {Stage} stage
   * @param {{ settings?: Record<string, string>, kernels?: number }} [how]
   */
  static async openIn(context, stage, { settings = {}, kernels = 2 } = {}) {
    const lab = new LabPage(stage, await context.newPage());
    await lab.page.goto(stage.labAddress({ kernels: String(kernels), ...settings }));
    await lab.untilReady(kernels);
    return lab;
  }

  /** @param {number} kernels */
  async untilReady(kernels) {
    await this.until(`${kernels} kernels to run`, 60, async () =>
      (await this.kernels()).filter(({ condition }) => condition === 'running').length === kernels);
    await this.until('the introductions', 60, async () => (await this.page.textContent('#busy')) === '');
    await this.checkProblem();
  }

  /** @returns {Promise<{ name: string, condition: string, incarnations: string[], targets: string[] }[]>} */
  kernels() {
    return this.page.evaluate(() =>
      /** @type {any} */ (window).lab?.kernels.map((/** @type {any} */ { name, condition, lives, targets }) => ({
        name, condition, incarnations: lives.map((/** @type {any} */ life) => life.incarnation), targets: [...targets.keys()],
      })) ?? []);
  }

  /** @param {string} name */
  async kernel(name) {
    const found = (await this.kernels()).find((kernel) => kernel.name === name);
    if (!found) {
      throw new Error(`there is no kernel ${name}`);
    }
    return found;
  }

  /** @returns {Promise<import('../../www/src/lab/ledger.js').Tally>} */
  tally() {
    return this.page.evaluate(() => /** @type {any} */ (window).lab.ledger.tally());
  }

  /** @returns {Promise<import('../../www/src/lab/watch.js').Counts>} */
  counts() {
    return this.page.evaluate(() => ({ .../** @type {any} */ (window).lab.counts }));
  }

  /**
   * @param {string} what
   * @param {number} seconds in which no message is sent, delivered or reported
   * @param {() => Promise<boolean>} probe
   */
  until(what, seconds, probe) {
    return this.stage.waitFor(what, seconds, probe, () =>
      this.page.evaluate(() => JSON.stringify(/** @type {any} */ (window).lab?.ledger.tally())));
  }

  /** Waits until everything that was sent is delivered or reported, and checks that the guarantee was kept. */
  async settled(seconds = 60) {
    await this.until('everything to be delivered or reported', seconds, async () => (await this.tally()).waiting === 0);
    await this.kept();
    return this.tally();
  }

  /** Checks that the guarantee was kept so far. */
  async kept() {
    const { lost, doubled, outOfOrder, stale } = await this.tally();
    equal({ lost, doubled, outOfOrder, stale }, { lost: 0, doubled: 0, outOfOrder: 0, stale: 0 }, 'what the page counted');
  }

  /** @param {string} name */
  choose(name) {
    return this.page.click(`[data-kernel="${name}"]`);
  }

  /** @param {string} name of a button */
  press(name) {
    return this.page.getByRole('button', { name, exact: true }).click();
  }

  /** Sends messages one by one. @param {number} count */
  async say(count) {
    const { sent } = await this.tally();
    for (let index = 0; index < count; index += 1) {
      await this.page.fill('#text', `message ${index + 1}`);
      await this.press('Send');
    }
    await this.until(`${count} messages to be sent`, 20, async () => (await this.tally()).sent === sent + count);
  }

  /** What the newest experiment says. */
  async trial() {
    const first = this.page.locator('.trial').first();
    const parts = ['h3', '.observed', '.verdict'].map((part) => first.locator(part).textContent());
    const [title, observed, verdict] = await Promise.all(parts);
    return { title: title ?? '', observed: observed ?? '', verdict: verdict ?? '' };
  }

  /** Fails if the page shows a problem. */
  async checkProblem() {
    const problem = this.page.locator('#problem');
    if (await problem.isVisible()) {
      throw new Error(`the page says: ${await problem.textContent()}`);
    }
  }

  /** The problem that the page shows, which is closed then. */
  async problem() {
    const problem = this.page.locator('#problem');
    await problem.waitFor({ state: 'visible' });
    const text = (await problem.locator('p').textContent()) ?? '';
    await this.press('Close this message');
    return text;
  }

  async checkHealth() {
    await this.checkProblem();
    equal(this.complaints, [], 'what the page complained of');
  }

  /** For a run that failed. */
  async report() {
    const log = await this.page.locator('#log li').allTextContents().catch(() => []);
    return ['--- the log of the page, newest first', ...log.slice(0, 40), ...this.complaints].join('\n');
  }
}

/**
 * Runs `work` on a page of the lab, and tells what it shows if it fails.
 * @param {LabPage} lab
 * @param {() => Promise<void>} work
 */
export async function onLab(lab, work) {
  try {
    await work();
    await lab.checkHealth();
  } catch (error) {
    console.error(await lab.report());
    throw error;
  }
}
