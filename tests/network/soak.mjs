// Flow control and WebRTC hygiene for as long as one likes; the last line is the outcome as JSON.
//
// usage: node soak.mjs <cycles> <messages>

import { cycles } from './soak/cycles.mjs';
import { longMessages } from './soak/long-messages.mjs';
import { slowPeer } from './soak/slow-peer.mjs';
import { inWorld } from './world.mjs';

const [count, messages] = process.argv.slice(2).map(Number);

await inWorld(async (world) => {
  const outcome = {};
  if (messages > 0) {
    outcome.longMessages = await longMessages(world, messages);
    console.error(`soak: ${JSON.stringify(outcome.longMessages)}`);
    outcome.slowPeer = [];
    for (const way of ['ws', 'webrtc-direct', 'relayed']) {
      outcome.slowPeer.push(await slowPeer(world, way, 30));
      console.error(`soak: ${JSON.stringify(outcome.slowPeer.at(-1))}`);
    }
  }
  if (count > 0) {
    outcome.cycles = await cycles(world, count);
  }
  console.log(JSON.stringify(outcome));
});
