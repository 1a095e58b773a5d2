// The extension in two real profiles: their wallets talk through the relay, and one of them is killed, closed, reloaded and wiped while
// numbers go there and back.

import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onStage } from '../../www/story/stage.mjs';
import { settled } from '../../www/story/story.mjs';
import { Tab } from '../../www/story/tab.mjs';
import { equal, numbers } from '../../www/story/tally.mjs';
import { BrowserProcess, temporaryProfile } from './browser-process.mjs';
import { Stream } from './stream.mjs';

const EXTENSION = join(process.env.OCAP_WWW_DIST ?? '', 'extension');
const KILLS = 5;
/** The kills are so many that the limits would rightly hold the peers back, and an alarm may be 30 s away. */
const OPTIONS = { maxConnectionAttemptsPerMinute: 10_000, maxMessagesPerSecond: 10_000, ackTimeoutMs: 30_000 };
/** An alarm, and as long again for a loaded machine. */
const BY_ITSELF_SECONDS = 60;
const FRESH = numbers(100_001, 100_050);

/** @typedef {import('../../www/story/stage.mjs').Stage} Stage */

/** A browser profile that has the extension. */
class Wallet {
  /** @type {BrowserProcess} */
  #browser;
  /** @type {Tab} The popup, opened as a tab. */
  tab;

  /**
   * @param {Stage} stage
   * @param {string} name
   * @param {string} profile
   */
  constructor(stage, name, profile) {
    this.stage = stage;
    this.name = name;
    this.profile = profile;
  }

  /**
   * @param {Stage} stage
   * @param {string} name
   */
  static async create(stage, name) {
    const profile = await temporaryProfile(stage);
    // What a person switches on before they load an unpacked extension; without it one cannot be reloaded.
    await mkdir(join(profile, 'Default'));
    await writeFile(join(profile, 'Default', 'Preferences'), JSON.stringify({ extensions: { ui: { developer_mode: true } } }));
    const wallet = new Wallet(stage, name, profile);
    stage.atEnd(() => wallet.kill());
    await wallet.launch();
    await wallet.openPopup();
    return wallet;
  }

  async launch() {
    this.#browser = await BrowserProcess.launch(this.profile, [`--load-extension=${EXTENSION}`]);
  }

  async kill() {
    if (this.tab) {
      this.stage.dismiss(this.tab);
    }
    await this.#browser?.kill();
  }

  async #targets() {
    const session = await this.#browser.browser.newBrowserCDPSession();
    const { targetInfos } = await session.send('Target.getTargets');
    await session.detach();
    return targetInfos.filter(({ url }) => url.startsWith('chrome-extension://'));
  }

  /** @param {string} file whether a context of the extension that runs it is alive */
  async runs(file) {
    return (await this.#targets()).some(({ url }) => url.endsWith(`/${file}`));
  }

  async openPopup() {
    await this.stage.waitFor(`${this.name}'s extension to run`, 30, () => this.runs('offscreen.html'));
    const [{ url }] = await this.#targets();
    const page = await this.#browser.context.newPage();
    await page.setViewportSize({ width: 384, height: 600 });
    this.tab = new Tab(this.name, page);
    this.stage.tabs.push(this.tab);
    await page.goto(new URL('/popup.html', url).href);
    await this.untilRunning();
  }

  async closePopup() {
    this.stage.dismiss(this.tab);
    await this.tab.page.close();
  }

  untilRunning() {
    return this.stage.untilRunning(this.tab);
  }

  async identity() {
    const { peerId, incarnationId } = await this.tab.call('state');
    return { peerId, incarnationId };
  }

  /** As a person would. */
  async enterRelay() {
    const { page } = this.tab;
    await page.getByText('Change', { exact: true }).click();
    await page.getByLabel(/^Addresses/).fill(this.stage.relay.addresses.webrtc);
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('#relays .state', { hasText: 'Up' }).waitFor();
  }

  /** The browser does that to a service worker that has had nothing to do for 30 s. */
  async stopServiceWorker() {
    const session = await this.#browser.context.newCDPSession(this.tab.page);
    await session.send('ServiceWorker.enable');
    await session.send('ServiceWorker.stopAllWorkers');
    await session.detach();
    await this.stage.waitFor('the service worker to end', 10, async () => !(await this.runs('service-worker.js')));
  }

  closeDocument() {
    return this.tab.page.evaluate(() => /** @type {any} */ (globalThis).chrome.offscreen.closeDocument());
  }

  async reload() {
    this.stage.dismiss(this.tab);
    // The page goes with the extension, and with it the answer.
    await this.tab.page.evaluate(() => /** @type {any} */ (globalThis).chrome.runtime.reload()).catch(() => {});
  }

  /** The site data of the extension, as a browser that runs out of space or a careful person deletes them. Its settings stay. */
  async wipe() {
    const files = join(this.profile, 'Default', 'File System');
    equal((await readdir(files)).length > 0, true, 'whether there is a store to wipe');
    await rm(files, { recursive: true });
  }

  /** @param {string} name */
  async takePictures(name) {
    const folder = process.env.OCAP_SCREENSHOTS;
    for (const colorScheme of folder ? /** @type {const} */ (['light', 'dark']) : []) {
      await this.tab.page.emulateMedia({ colorScheme });
      await this.tab.page.screenshot({ path: join(folder ?? '', `extension-${name}-${colorScheme}.png`), fullPage: true });
    }
  }
}

/**
 * They meet and greet as two people would.
 * @param {Wallet} alice
 * @param {Wallet} bob
 */
async function meet(alice, bob) {
  await alice.enterRelay();
  await bob.enterRelay();
  const [atAlice, atBob] = [alice.tab.page, bob.tab.page];
  await atBob.getByLabel(/^A URL that you were given/).fill(await atAlice.getByLabel(/^Your URL/).inputValue());
  await atBob.getByRole('button', { name: 'Redeem' }).click();
  const send = atBob.getByRole('button', { name: 'Send' });
  await atBob.locator('#contact', { hasText: '…' }).waitFor();
  await atBob.getByLabel(/^A message to/).fill('Hello');
  await send.click();
  await atAlice.getByText('echo "Hello"').waitFor();
  await atBob.getByText('echo "Hello": "Hello"').waitFor();
  await atBob.locator('#peers .state', { hasText: 'Connected' }).waitFor();
  await alice.takePictures('alice');
  await bob.takePictures('bob');
}

/**
 * @param {Stage} stage
 * @param {Wallet} alice
 * @param {Wallet} bob
 * @param {Stream} stream
 */
async function survive(stage, alice, bob, stream) {
  const [peerId, { incarnationId }] = [(await bob.identity()).peerId, await bob.identity()];
  const comesBack = async (/** @type {string} */ after) => {
    const [mark, from] = [stream.sent, performance.now()];
    await stage.waitFor(`numbers to come back after ${after}`, BY_ITSELF_SECONDS, async () =>
      ((await alice.tab.numbers()).at(-1) ?? 0) > mark);
    console.log(`        back ${((performance.now() - from) / 1_000).toFixed(1)} s after ${after}`);
    equal(await alice.tab.call('events'), [], `what the other wallet was told after ${after}`);
  };
  const isSame = async (/** @type {string} */ after) =>
    equal(await bob.identity(), { peerId, incarnationId }, `who the wallet is after ${after}`);

  await comesBack('the beginning');
  let pendingAtKills = 0;
  for (let kill = 1; kill <= KILLS; kill += 1) {
    pendingAtKills += await alice.tab.pending();
    await bob.kill();
    await bob.launch();
    await comesBack(`kill ${kill} of the browser`);
    await bob.openPopup();
    await isSame('a kill');
  }
  equal(pendingAtKills > 0, true, 'whether anything was under way at a kill');

  await bob.stopServiceWorker();
  equal(await bob.runs('offscreen.html'), true, 'whether the document outlives the service worker');
  await comesBack('the end of the service worker');
  await bob.closePopup();
  await bob.openPopup();
  equal(await bob.runs('service-worker.js'), true, 'whether a popup starts the service worker');

  await bob.stopServiceWorker();
  await bob.closeDocument();
  await stage.waitFor('the popup to notice', 10, async () => (await bob.tab.call('state')).status !== 'running');
  await comesBack('the end of the document, with a popup open');
  await bob.untilRunning();
  await isSame('the end of the document');

  await bob.closeDocument();
  await bob.closePopup();
  await comesBack('the end of the document, with none open');

  await bob.openPopup();
  await bob.reload();
  await comesBack('a reload of the extension');
  await bob.openPopup();
  await isSame('a reload');
}

/**
 * @param {Stage} stage
 * @param {Wallet} alice
 * @param {Wallet} bob
 */
async function forget(stage, alice, bob) {
  const before = await bob.identity();
  await bob.kill();
  await bob.wipe();
  await bob.launch();
  await stage.waitFor('the restart to be noticed', BY_ITSELF_SECONDS, async () => (await alice.tab.restarts()).length > 0);
  await bob.openPopup();
  const after = await bob.identity();
  equal(after.peerId, before.peerId, 'the peer id of the wallet that was wiped');
  const restarts = (await alice.tab.restarts()).map(({ formerIncarnation, incarnation }) => [formerIncarnation, incarnation]);
  equal(restarts, [[before.incarnationId, after.incarnationId]], 'restarts that the other was told of');
  const target = await alice.tab.call('redeem', await bob.tab.call('url'));
  await alice.tab.call('sendNumbers', target, FRESH[0], FRESH.at(-1));
  await settled(stage, alice.tab, bob.tab, FRESH, 60);
  equal(await bob.tab.numbers(), FRESH, 'what the new incarnation received');
}

export const theExtension = () =>
  onStage(async (stage) => {
    const alice = await Wallet.create(stage, 'alice');
    const bob = await Wallet.create(stage, 'bob');
    await meet(alice, bob);
    for (const { tab } of [alice, bob]) {
      await tab.call('saveSettings', { relays: [stage.relay.addresses.webrtc], options: OPTIONS });
    }
    await Promise.all([alice.untilRunning(), bob.untilRunning()]);
    const stream = new Stream(alice.tab, await alice.tab.call('redeem', await bob.tab.call('url')));
    await survive(stage, alice, bob, stream);
    await stream.settle(stage);
    console.log(`        ${stream.sent} numbers sent there and back`);
    await forget(stage, alice, bob);
    stage.checkHealth();
  });
