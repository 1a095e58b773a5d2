// Compares what programs received with what was sent to them.

import { deepStrictEqual } from 'node:assert/strict';

/**
 * @param {number} from
 * @param {number} to included
 */
export const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

/**
 * Fails unless the two are deeply equal.
 * @param {unknown} found
 * @param {unknown} expected
 * @param {string} what
 */
export function equal(found, expected, what) {
  try {
    deepStrictEqual(found, expected);
  } catch (difference) {
    throw new Error(`${what}: ${/** @type {Error} */ (difference).message}`);
  }
}

/** Counts over everything that was compared. */
export class Tally {
  delivered = 0;
  duplicates = 0;
  lost = 0;
  outOfOrder = 0;
  staleDelivered = 0;

  /**
   * Adds one receiving incarnation.
   * @param {number[]} sent everything that was sent to this incarnation, each number once, in order
   * @param {number[]} received what its program recorded; any other number was meant for another incarnation
   */
  add(sent, received) {
    const place = new Map(sent.map((number, index) => [number, index]));
    const seen = new Set();
    let last = -1;
    for (const number of received) {
      const index = place.get(number);
      if (index === undefined) {
        this.staleDelivered += 1;
      } else if (seen.has(number)) {
        this.duplicates += 1;
      } else {
        seen.add(number);
        this.outOfOrder += index < last ? 1 : 0;
        last = Math.max(last, index);
      }
    }
    this.delivered += seen.size;
    this.lost += sent.length - seen.size;
  }
}
