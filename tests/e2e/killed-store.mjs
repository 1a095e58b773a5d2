// A kernel with a durable store is killed again and again in mid-write, with its whole browser or only with its renderer, while a
// kernel that survives all of it sends it numbers. The victim's program remembers nothing: while it takes a number it sends it
// back, so that a number that is lost or doubled in either direction shows in what the survivor receives.

import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { onStage } from '../../www/story/stage.mjs';
import { equal, numbers } from '../../www/story/tally.mjs';
import { BrowserProcess, temporaryProfile } from './browser-process.mjs';
import { Stream } from './stream.mjs';

/** Of the browser, and then as many of the renderer. */
const KILLS = 20;
/** A kill comes at a random moment within this time. */
const KILL_WITHIN_MS = 400;
/** Every so many kills do not wait for a number to come back, and so hit a kernel that is just taking up its connections. */
const EARLY_EVERY = 4;
/** Forty kills in a minute are a flood of dials and of retransmissions, which the limits would rightly hold back. */
const OPTIONS = JSON.stringify({ maxConnectionAttemptsPerMinute: 10_000, maxMessagesPerSecond: 10_000 });
/** How many of the kills have to hit while messages were on their way. */
const MID_WRITE_AT_LEAST = KILLS / 2;
/** A second is what is promised; a loaded machine gets more. */
const TAKEOVER_LIMIT_MS = 5_000;
/** And so often what a first start takes on this machine. */
const STARTS = 5;

/**
 * @typedef {import('../../www/story/stage.mjs').Stage} Stage
 * @typedef {import('../../www/story/tab.mjs').Tab} Tab
 */

/**
 * Numbers in [0, 1) that follow from a seed.
 * @param {string} seed
 */
function* random(seed) {
  for (let count = 0; ; count += 1) {
    yield createHash('sha256').update(`${seed}/${count}`).digest().readUInt32BE() / 2 ** 32;
  }
}

class Trial {
  /** @type {number[]} Unacknowledged messages of the survivor at each kill. */
  pendingAtKills = [];
  /** @type {number[]} From a renderer's death until the kernel of the page that waited runs. */
  takeoversMs = [];
  /** What the first start took. */
  startMs = 0;
  /** @type {{ peerId: string, incarnationId: string } | undefined} */
  #identity;
  /** @type {BrowserProcess | undefined} */
  #process;
  #isOver = false;

  /**
   * @param {Stage} stage
   * @param {Tab} survivor
   * @param {string} profile
   * @param {Generator<number, never>} random
   */
  constructor(stage, survivor, profile, random) {
    this.stage = stage;
    this.survivor = survivor;
    this.profile = profile;
    this.random = random;
    this.settings = { seed: randomBytes(32).toString('hex'), store: 'killed', options: OPTIONS };
  }

  async launch() {
    const browser = await BrowserProcess.launch(this.profile);
    this.#process = browser;
    if (this.#isOver) {
      await browser.kill();
      throw new Error('the trial is over');
    }
    return browser;
  }

  /** Leaves no browser behind, not even one that is just being launched. */
  async end() {
    this.#isOver = true;
    await this.#process?.kill();
  }

  /**
   * Opens a page of the victim, without waiting for its kernel.
   * @param {BrowserProcess} browser
   */
  open({ context }) {
    return this.stage.openPage(context, 'victim', 'worker', this.settings);
  }

  /**
   * Waits for the kernel, and looks at everything that must hold at any time.
   * @param {Tab} victim
   */
  async check(victim) {
    await this.stage.untilRunning(victim);
    const identity = await victim.call('state');
    this.#identity ??= identity;
    equal(identity, this.#identity, 'the identity and incarnation of the victim');
    equal(await this.survivor.call('events'), [], 'what the survivor was told of its peer');
    const received = await this.survivor.numbers();
    equal(received, numbers(1, received.length), 'what came back to the survivor');
  }

  /**
   * Waits for a random moment to kill.
   * @param {number} kill its number
   */
  async randomMoment(kill) {
    if (kill % EARLY_EVERY !== 0) {
      const before = (await this.survivor.received()).length;
      await this.stage.waitFor('numbers to come back', 60, async () => (await this.survivor.received()).length > before);
    }
    await sleep(this.random.next().value * KILL_WITHIN_MS);
    this.pendingAtKills.push(await this.survivor.pending());
  }

  /** @param {Tab} victim */
  async killBrowsers(victim) {
    for (let kill = 1; kill <= KILLS; kill += 1) {
      await this.randomMoment(kill);
      this.stage.dismiss(victim);
      await this.#process?.kill();
      victim = await this.open(await this.launch());
      await this.check(victim);
    }
    return victim;
  }

  /** @param {Tab} victim */
  async killRenderers(victim) {
    for (let kill = 1; kill <= KILLS; kill += 1) {
      const browser = /** @type {BrowserProcess} */ (this.#process);
      const heir = await this.open(browser);
      await this.randomMoment(kill);
      equal((await heir.call('state')).status, 'starting', 'the page that waits for the store');
      this.stage.dismiss(victim);
      await browser.killOwnerOfStore();
      const killedAt = performance.now();
      await this.stage.untilRunning(heir);
      this.takeoversMs.push(performance.now() - killedAt);
      await this.check(heir);
      await victim.page.close();
      victim = heir;
    }
    return victim;
  }
}

/** @param {Trial} trial */
function judge({ pendingAtKills, takeoversMs, startMs }) {
  for (const [what, pending] of [['browser', pendingAtKills.slice(0, KILLS)], ['renderer', pendingAtKills.slice(KILLS)]]) {
    const hits = /** @type {number[]} */ (pending).filter((count) => count > 0).length;
    console.log(`        ${pending.length} kills of the ${what}, ${hits} of them with unacknowledged messages`);
    if (hits < MID_WRITE_AT_LEAST) {
      throw new Error(`only ${hits} kills of the ${what} came in mid-write`);
    }
  }
  const sorted = takeoversMs.toSorted((one, other) => one - other);
  const [median, worst] = [sorted[Math.floor(sorted.length / 2)], sorted[sorted.length - 1]];
  console.log(`        taken over after ${median.toFixed(0)} ms (median), ${worst.toFixed(0)} ms (worst)`);
  if (worst > TAKEOVER_LIMIT_MS + STARTS * startMs) {
    throw new Error(`a page took over after ${worst.toFixed(0)} ms only`);
  }
}

export const aStoreKilledInMidWrite = () =>
  onStage(async (stage) => {
    const seed = process.env.OCAP_SEED ?? randomBytes(8).toString('hex');
    const profile = await temporaryProfile(stage);
    const survivor = await stage.openTab('survivor', 'window', undefined, { options: OPTIONS });
    const trial = new Trial(stage, survivor, profile, random(seed));
    stage.atEnd(() => trial.end());
    try {
      const browser = await trial.launch();
      const openedAt = performance.now();
      let victim = await trial.open(browser);
      await trial.check(victim);
      trial.startMs = performance.now() - openedAt;
      const stream = new Stream(survivor, await survivor.call('redeem', await victim.call('url')));
      victim = await trial.killBrowsers(victim);
      await trial.killRenderers(victim);
      await stream.settle(stage);
      console.log(`        ${stream.sent} numbers sent there and back`);
      judge(trial);
      stage.checkHealth();
    } catch (error) {
      throw new Error(`with OCAP_SEED=${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
    }
  });
