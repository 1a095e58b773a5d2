// Messages of 1 MiB over one WebRTC data channel, both ways at once, between two whole kernels: none is lost, none comes twice,
// the channel stays, and memory is bounded.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { memory } from '../memory.mjs';
import { LOOSE } from '../world.mjs';

/** A message may have 1 MiB with all that is around it. */
export const BYTES = 1_048_000;
/** Unacknowledged messages that a kernel keeps, and so what it may hold for one peer. */
export const QUEUE = 16;
const MIB = 1_048_576;
/** What the page may hold: queues of both kernels' messages in several stages, and the room that a wasm memory grows by. */
const PAGE_LIMIT_MIB = 256;
const SAMPLE_MS = 250;

/** Starts a kernel in a new page that knows `peers`; gives the page. Its `party.targets` are their objects. */
export async function pageThatKnows(world, peers, options = {}) {
  const page = await world.openPage();
  await page.evaluate(
    async ({ options, peers }) => {
      globalThis.party = await globalThis.network.KernelPage.start(options);
      globalThis.targets = [];
      for (const { hint, url } of peers) {
        globalThis.party.kernel.registerLocationHints(hint.split('/').at(-1), [hint]);
        globalThis.targets.push(await globalThis.party.kernel.redeemOcapURL(url));
      }
    },
    { options: { ...LOOSE, maxQueue: QUEUE, ...options }, peers },
  );
  return page;
}

export const known = (peer, way) => ({ hint: peer.addresses[way], url: peer.ready.url });

const channelsOf = (page) =>
  page.evaluate(() => globalThis.party.network.status().peers.map(({ channel }) => channel && [channel.kind, channel.since]));

async function residentMiB(process) {
  const status = await readFile(`/proc/${process.pid}/status`, 'utf8').catch(() => '');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024;
}

/** Samples until `work` is done; gives what it gave and the largest samples. */
export async function watched(page, peer, work) {
  const peak = { pageMiB: 0, peerMiB: 0 };
  const working = { done: false };
  const watching = (async () => {
    while (!working.done) {
      const page_ = await page.evaluate(() => globalThis.party.wasmBytes() + performance.memory.usedJSHeapSize);
      peak.pageMiB = Math.max(peak.pageMiB, page_ / MIB);
      peak.peerMiB = Math.max(peak.peerMiB, await residentMiB(peer.process));
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    }
  })();
  try {
    return { result: await work, peak };
  } finally {
    working.done = true;
    await watching;
  }
}

/**
 * @param {import('../world.mjs').World} world
 * @param {number} count messages each way
 * @param {object} options of both kernels
 */
export async function longMessages(world, count, options) {
  const way = 'webrtc-direct';
  const peer = await world.peer({ role: 'kernel', seed: 3 }, [way], { ...options, maxQueue: QUEUE });
  const page = await pageThatKnows(world, [known(peer, way)], options);
  const channels = await channelsOf(page);
  assert.equal(channels[0][0], way);

  const url = await page.evaluate(() => globalThis.party.kernel.issueOcapURL(globalThis.party.object));
  peer.tell({ send: { url, count, bytes: BYTES } });
  const startedAt = Date.now();
  const { result, peak } = await watched(page, peer, page.evaluate(
    async ({ count, bytes }) => {
      const { party, targets } = globalThis;
      await party.sendAll(targets[0], 1, count, bytes, Infinity);
      while (party.received.length < count) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      return { received: party.received, events: party.events, refused: [...party.answered.values()].filter(({ rejected }) => rejected) };
    },
    { count, bytes: BYTES },
  ));
  const seconds = (Date.now() - startedAt) / 1_000;

  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  assert.deepEqual(result.received, numbers, 'what reached the browser');
  assert.deepEqual(result.events, [], 'what the kernel in the browser was told');
  assert.deepEqual(result.refused, []);
  for (const number of numbers) {
    const { received, padding } = await peer.take('received');
    assert.deepEqual([received, padding], [number, BYTES], 'what reached the native kernel');
  }
  assert.deepEqual(await channelsOf(page), channels, 'the channel is the one of the beginning');
  assert.ok(peak.pageMiB < PAGE_LIMIT_MIB, `the page grew to ${peak.pageMiB} MiB`);
  const settled = await memory(page);
  await peer.kill();
  await page.close();
  return {
    messagesEachWay: count,
    seconds: Math.round(seconds * 10) / 10,
    peakPageMiB: Math.round(peak.pageMiB),
    peakPeerMiB: Math.round(peak.peerMiB),
    heapAfterMiB: Math.round(settled.heap / MIB),
  };
}
