// Connects and disconnects over WebRTC in every way there is, again and again: no RTCPeerConnection stays open, and memory does
// not grow.

import assert from 'node:assert/strict';
import { peerIdOf } from '../../conformance/support/libp2p.mjs';
import { memory } from '../memory.mjs';

const MIB = 1_048_576;
/** The first cycles fill caches, pools and memories. */
const WARM_UP = 0.2;
/** Cycles between two looks at memory. */
const STEP = 50;
/** What the JavaScript heap may grow by after the warm-up. */
const HEAP_GROWTH_LIMIT = 1 * MIB;
/** What a wasm memory may: it grows by pieces when it is fragmented, and never shrinks. */
const WASM_GROWTH_LIMIT = 2 * MIB;

/** Runs cycles `first` to `last` in the page. */
async function run(page, peer, first, last) {
  for (let cycle = first; cycle <= last; cycle += 1) {
    await page.evaluate(
      async ({ cycle, address, dead }) => {
        const { Ours, traffic } = globalThis.network;
        const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
        const party = (globalThis.party ??= await Ours.start());
        if (cycle % 10 === 0) {
          // The network ends while a connection is up, and another begins.
          await party.stop();
          globalThis.party = undefined;
        } else if (cycle % 10 === 5) {
          // A dial is given up: nobody answers there.
          await party.meet(dead);
          void party.send('["sink"]').catch(() => {});
          await sleep(30);
          await party.stop();
          globalThis.party = undefined;
        } else {
          await party.meet(address);
          await traffic.roundTrips(party, 256, 1);
        }
      },
      { cycle, address: peer.addresses['webrtc-direct'], dead: peer.dead },
    );
    if (cycle % 5 !== 0) {
      // The other end goes, and the page has to notice and to come back.
      peer.tell({ cut: peer.pageId });
      await peer.take('cut');
    }
  }
}

/**
 * @param {import('../world.mjs').World} world
 * @param {number} count
 */
export async function cycles(world, count) {
  const peer = await world.peer({ role: 'echo', seed: 6 }, ['webrtc-direct']);
  const gone = await world.peer({ role: 'echo', seed: 7 }, ['webrtc-direct']);
  await gone.kill();
  peer.dead = gone.addresses['webrtc-direct'];
  const page = await world.openPage();
  peer.pageId = await peerIdOf(Buffer.from(await page.evaluate(() => globalThis.network.SEED), 'hex'));

  const samples = [];
  const startedAt = Date.now();
  for (let done = 0; done < count; done += STEP) {
    await run(page, peer, done + 1, Math.min(count, done + STEP));
    samples.push(await memory(page));
    if ((done / STEP) % 10 === 9) {
      console.error(`soak: ${done + STEP} cycles, ${JSON.stringify(samples.at(-1))}`);
    }
  }
  const seconds = (Date.now() - startedAt) / 1_000;
  await page.evaluate(async () => {
    await globalThis.party?.stop();
    globalThis.party = undefined;
  });
  const { made, open } = await page.evaluate(() => globalThis.network.connections());
  const { peerConnections } = await memory(page);
  await peer.kill();
  await page.close();

  const settled = samples.slice(Math.floor(samples.length * WARM_UP));
  const grown = (of) => of(settled.at(-1)) - of(settled[0]);
  const outcome = {
    cycles: count,
    seconds: Math.round(seconds),
    peerConnectionsMade: made,
    open,
    alive: peerConnections,
    heapMiB: Math.round((settled.at(-1).heap / MIB) * 10) / 10,
    heapGrownKiB: Math.round(grown(({ heap }) => heap) / 1_024),
    wasmGrownKiB: Math.round(grown(({ wasm }) => wasm) / 1_024),
  };
  assert.ok(made >= count * 0.7, `too few connections for that many cycles: ${JSON.stringify(outcome)}`);
  assert.equal(open, 0, `connections are left open: ${JSON.stringify(outcome)}`);
  assert.ok(outcome.heapGrownKiB * 1_024 < HEAP_GROWTH_LIMIT, `the heap grew: ${JSON.stringify(outcome)}`);
  assert.ok(outcome.wasmGrownKiB * 1_024 < WASM_GROWTH_LIMIT, `the memory of the module grew: ${JSON.stringify(outcome)}`);
  return outcome;
}
