// Numbers that go to a kernel that is killed again and again, and come back from it.

import { setTimeout as sleep } from 'node:timers/promises';
import { equal, numbers } from '../../www/story/tally.mjs';

/** A number costs the victim two messages, `count` and the answer; 100 a second may leave. */
const STREAM_PAUSE_MS = 60;
/** The survivor waits at so many pending messages: what the victim makes of them at once must not exceed its own limit of 200. */
const PENDING_LIMIT = 30;
/** It waits at so many numbers that are not back, too: on a slow machine the victim's two of each stay pending for longer. */
const AWAY_LIMIT = 60;

/**
 * @typedef {import('../../www/story/stage.mjs').Stage} Stage
 * @typedef {import('../../www/story/tab.mjs').Tab} Tab
 */

/** What a kernel that survives sends, one number after the other until it is told to end. */
export class Stream {
  sent = 0;
  #isOver = false;
  #survivor;
  #ended;

  /**
   * @param {Tab} survivor
   * @param {string} target
   */
  constructor(survivor, target) {
    this.#survivor = survivor;
    this.#ended = this.#run(survivor, target);
    this.#ended.catch(() => {}); // reported by end()
  }

  /**
   * @param {Tab} survivor
   * @param {string} target
   */
  async #run(survivor, target) {
    while (!this.#isOver) {
      const away = this.sent - ((await survivor.numbers()).at(-1) ?? 0);
      if (away < AWAY_LIMIT && (await survivor.pending()) < PENDING_LIMIT) {
        await survivor.call('send', target, 'relay', this.sent + 1);
        this.sent += 1;
      }
      await sleep(STREAM_PAUSE_MS);
    }
  }

  end() {
    this.#isOver = true;
    return this.#ended;
  }

  /**
   * Ends it, and fails unless every number came back once and in order.
   * @param {Stage} stage
   */
  async settle(stage) {
    await this.end();
    const { sent } = this;
    const survivor = this.#survivor;
    const progress = async () => String((await survivor.numbers()).length + (await survivor.outcomes()).length);
    await stage.waitFor(`${sent} to come back`, 60, async () => (await survivor.numbers()).at(-1) === sent, progress);
    await stage.waitFor('everything to be answered', 60, async () => (await survivor.outcomes()).length >= sent, progress);
    await stage.waitFor('everything to be acknowledged', 60, async () => (await survivor.pending()) === 0);
    const outcomes = (await survivor.outcomes()).map(({ value, rejected, answer }) => ({ value, rejected, answer }));
    equal(outcomes, numbers(1, sent).map((value) => ({ value, rejected: false, answer: value })), 'answers to the survivor');
    equal(await survivor.numbers(), numbers(1, sent), 'what came back to the survivor');
  }
}
