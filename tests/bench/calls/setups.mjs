// What is measured beside each other: kernels with their defaults, or with one option changed, and js-libp2p.

import { DURABLE, IN_MEMORY, Pair } from './pair.mjs';

/** The most that the option takes. */
const RAISED = { maxMessagesPerSecond: 1_000_000 };

const WAYS = { ws: 'relay, ws', webrtc: 'relay, webrtc-direct', 'slow ws': 'relay, ws, 50 ms and 1 MB/s each way' };
const KERNELS = [[DURABLE, 'durable, network in the page'], [IN_MEMORY, 'in memory, network in a Worker']];
const OPTIONS = [[{}, 'defaults'], [RAISED, 'maxMessagesPerSecond raised']];

/** @typedef {{ way: string, who: string, isSlow?: boolean, open: (stage: import('./stage.mjs').Stage) => Promise<Pair> }} Setup */

/** @returns {Setup[]} */
function relayed(way, kernels) {
  const isSlow = way === 'slow ws';
  const ours = kernels.flatMap(([kernel, lives]) => OPTIONS.map(([options, named]) => ({
    way: WAYS[way],
    who: `${lives}, ${named}`,
    isSlow,
    open: (stage) => Pair.kernels(stage, { way, kernel, options }),
  })));
  return [...ours, { way: WAYS[way], who: 'js-libp2p alone', isSlow, open: (stage) => Pair.theirs(stage, { way }) }];
}

/** @type {Setup[]} */
export const SETUPS = [
  ...relayed('ws', KERNELS),
  ...relayed('webrtc', KERNELS.slice(0, 1)),
  ...relayed('slow ws', KERNELS.slice(0, 1)),
  ...OPTIONS.map(([options, named]) => ({
    way: 'native kernel, ws',
    who: `${KERNELS[0][1]}, ${named}`,
    open: (stage) => Pair.natives(stage, { way: 'ws', options }),
  })),
  {
    way: 'native kernel, webrtc-direct',
    who: `${KERNELS[0][1]}, defaults`,
    open: (stage) => Pair.natives(stage, { way: 'webrtc-direct', options: {} }),
  },
];

/** How many native kernels are called at once through the relay, by a durable one with its defaults. */
export const CROWDS = [1, 8, 32];

export const openCrowd = (stage, count) => Pair.natives(stage, { way: 'relayed', options: {}, count });

/** Whose page is loaded again. */
export const RELOADED = ['ws', 'webrtc'].map((way) => ({
  way: WAYS[way],
  open: (stage) => Pair.kernels(stage, { way, kernel: DURABLE, options: {} }),
}));
