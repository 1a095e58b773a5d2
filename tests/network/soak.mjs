// Flow control between whole kernels, one in headless Chromium, with as many long messages as one likes; the last line is the
// outcome as JSON. See world.mjs for the environment.
//
// usage: node soak.mjs <messages> [options of both kernels for the long messages, as JSON]

import { longMessages } from './soak/long-messages.mjs';
import { slowPeer } from './soak/slow-peer.mjs';
import { inWorld } from './world.mjs';

const messages = Number(process.argv[2]);
const options = JSON.parse(process.argv[3] ?? '{}');
/** For what hangs: on a machine with other work the same takes five times as long. */
const LIMIT_MS = 600_000 + messages * 5_000;

const outcome = await inWorld(async (world) => {
  const long = await longMessages(world, messages, options);
  console.error(`soak: ${JSON.stringify(long)}`);
  const slow = [];
  for (const way of /** @type {const} */ (['ws', 'webrtc-direct', 'relayed'])) {
    slow.push(await slowPeer(world, way, Math.min(30, Math.ceil(messages / 2))));
    console.error(`soak: ${JSON.stringify(slow.at(-1))}`);
  }
  return { longMessages: long, besideSlowPeer: slow };
}, LIMIT_MS);
console.log(JSON.stringify(outcome));
