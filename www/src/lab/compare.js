// The same loss under two rules: the incumbent's, which accepts gaps, and ours. Each has two kernels of its own, which go again.

import { sleep, until } from './waiting.js';
import { PROMISES } from './trials.js';

const MESSAGES = 20;
/** Messages that vanish between the sender and its network, as on a connection that dies; and how many pass before. */
const VANISHING = 3;
const SPARED = 6;
/** So that nobody waits 10 seconds for what is written again. */
const OPTIONS = { ackTimeoutMs: 2_000 };

/**
 * @param {object} stage
 * @param {import('./lab.js').Lab} stage.lab
 * @param {import('./trials.js').Trials} stage.trials
 * @param {(step: string) => void} stage.tell
 */
export async function compare({ lab, trials, tell }) {
  const place = lab.kernels[0]?.plan.place ?? 'worker';
  for (const acceptsGaps of [true, false]) {
    tell(`two kernels start, of which one ${acceptsGaps ? 'accepts' : 'refuses'} gaps`);
    const add = (/** @type {boolean} */ accepts) =>
      lab.add({ storage: 'memory', place, options: OPTIONS, comparison: { acceptsGaps: accepts } });
    const [from, to] = await Promise.all([add(false), add(acceptsGaps)]);
    try {
      await lab.introduce(from, to);
      const book = from.targets.get(to.name)?.book;
      if (!book) {
        throw new Error('the two kernels could not be introduced');
      }
      trials.begin({
        title: acceptsGaps ? 'Compare, first the incumbent’s rule' : 'Compare, now ours',
        promise: acceptsGaps ? PROMISES.gapAccepted : PROMISES.gapRefused,
        word: acceptsGaps ? 'Its rule' : 'Promised',
        tally: () => book.tally(),
      });
      tell(`${VANISHING} of ${MESSAGES} messages from ${from.name} to ${to.name} vanish on their way`);
      await from.swallow(SPARED, VANISHING);
      await lab.send(from, to.name, MESSAGES);
      await until('the messages to be delivered or lost', () =>
        book.sent === MESSAGES && book.tally().waiting === 0);
      await sleep(300); // to be seen
    } finally {
      trials.end();
      await lab.remove(from);
      await lab.remove(to);
    }
  }
}
