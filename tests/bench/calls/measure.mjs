// Measures a pair in both ways, with short and with long calls.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { spentBetween } from './cpu.mjs';
import { SLOW_TRIP_MS } from './stage.mjs';

/** Of a call's body, in bytes. */
export const SIZES = [100, 10 * 1024];

/** For how long, in milliseconds. */
const QUICK = { turnsMs: 2_000, warmUpMs: 1_000, flowMs: 2_000 };
/** On a slow line fewer calls are made one after the other, and more are on their way before the first is answered. */
const SLOW = { turnsMs: 5_000, warmUpMs: 2_000, flowMs: 2_000 };

const sum = (numbers) => numbers.reduce((sum, number) => sum + number, 0);

/** A share of the values is at most this. */
function quantile(values, share) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/**
 * Many calls under way: how many were answered in a second, what one of them cost, how many a peer had before it at most, and
 * the share of the least served peer in what the most served had.
 * @param {import('./pair.mjs').Pair} pair
 * @param {number} bytes
 */
export async function flow(pair, bytes, { warmUpMs, flowMs } = QUICK) {
  const before = await pair.spent();
  await pair.do('begin', pair.targets, bytes);
  // A kernel sends a second's messages at once when it begins.
  await sleep(warmUpMs);
  const warm = await pair.do('count');
  await sleep(flowMs);
  const full = await pair.do('count');
  // `ready` asks what is acknowledged, not what is answered: whatever waits for its answer belongs to what was measured.
  const total = await pair.do('end');
  const { all, renderers } = spentBetween(before, await pair.spent());
  const served = full.answered.map((count, index) => count - warm.answered[index]);
  return {
    perSecond: (1_000 * (sum(total.answered) - sum(warm.answered))) / (total.at - warm.at),
    mostUnderWay: Math.max(...total.mostUnderWay),
    cpuMs: all / sum(total.answered),
    rendererMs: renderers / sum(total.answered),
    fairness: Math.min(...served) / Math.max(...served),
  };
}

/**
 * The figures of each size.
 * @param {import('./pair.mjs').Pair} pair
 * @param {boolean} isSlow
 */
export async function measure(pair, isSlow) {
  const times = isSlow ? SLOW : QUICK;
  const figures = [];
  for (const bytes of SIZES) {
    const turns = await pair.do('oneAfterTheOther', pair.targets[0], bytes, times.turnsMs);
    assert.ok(!isSlow || Math.min(...turns) >= SLOW_TRIP_MS, 'no call is quicker than the slow line');
    figures.push({ p50: quantile(turns, 0.5), p99: quantile(turns, 0.99) });
  }
  for (const [index, bytes] of SIZES.entries()) {
    Object.assign(figures[index], await flow(pair, bytes, times));
  }
  return figures;
}
