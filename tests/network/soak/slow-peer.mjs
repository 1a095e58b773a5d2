// One peer that takes its time must not slow another, nor make the page grow with what waits for it.

import assert from 'node:assert/strict';
import { BYTES, known, pageThatKnows, QUEUE, watched } from './long-messages.mjs';

/** What the slow peer takes for each message. */
const SLOW_MS = 1_000;
/** At least so much of its speed does the other one keep: were it to wait for the slow one it would be a twentieth. */
const KEPT = 0.2;
/** What may wait for the slow peer: the kernel's queue and what the network has taken from it, and the room that memories grow by. */
const GROWTH_LIMIT_MIB = 6 * QUEUE;
const ROUNDS = 3;

/** Messages per second to the peer of this number, in the best of some rounds. */
function rate(page, index, count) {
  return page.evaluate(
    async ({ index, count, bytes, rounds }) => {
      let best = 0;
      for (let round = 0; round < rounds; round += 1) {
        const first = 10_000 * (1 + index) + round * count;
        best = Math.max(best, count / (await globalThis.party.sendAll(globalThis.targets[index], first, first + count - 1, bytes, 8)));
      }
      return best * 1_000;
    },
    { index, count, bytes: BYTES, rounds: ROUNDS },
  );
}

/**
 * @param {import('../world.mjs').World} world
 * @param {number} count messages to the quick peer in each round
 */
export async function slowPeer(world, way, count) {
  const quick = await world.peer({ role: 'kernel', seed: 4 }, [way]);
  const slow = await world.peer({ role: 'kernel', seed: 5, slowMs: SLOW_MS }, [way]);
  const page = await pageThatKnows(world, [known(quick, way), known(slow, way)]);
  await rate(page, 0, Math.ceil(count / 4)); // so that memories have grown
  const alone = await rate(page, 0, count);
  const before = await watched(page, slow, Promise.resolve());

  // Whatever is accepted goes to the slow one, as much as there is room for.
  await page.evaluate((bytes) => {
    let number = 1;
    const fill = () => {
      while (globalThis.party.trySend(globalThis.targets[1], number, bytes)) {
        number += 1;
      }
    };
    globalThis.endFill = setInterval(fill, 250);
  }, BYTES);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const { result: beside, peak } = await watched(page, slow, rate(page, 0, count));
  await page.evaluate(() => clearInterval(globalThis.endFill));
  const events = await page.evaluate(() => globalThis.party.events);
  await Promise.all([quick.kill(), slow.kill()]);
  await page.close();

  const grownMiB = peak.pageMiB - before.peak.pageMiB;
  const outcome = {
    way,
    alonePerSecond: Math.round(alone * 10) / 10,
    besidePerSecond: Math.round(beside * 10) / 10,
    grownMiB: Math.round(grownMiB),
    slowPeerMiB: Math.round(peak.peerMiB),
  };
  assert.deepEqual(events, [], 'what the kernel was told');
  assert.ok(beside >= KEPT * alone, `the quick peer was slowed: ${JSON.stringify(outcome)}`);
  assert.ok(grownMiB < GROWTH_LIMIT_MIB, `the page grew: ${JSON.stringify(outcome)}`);
  return outcome;
}
