// How long whole kernels, one in the browser and one native, are apart after a channel was lost, and after a peer restarted.

import { LOOSE } from '../world.mjs';

const WAYS = /** @type {const} */ (['ws', 'webrtc-direct', 'relayed']);
const LOSSES = 11;
const RESTARTS = 5;
/** A message leaves every so often, so this is how exact the figures are. */
const EVERY_MS = 10;
/** After each loss, so that the next is met as the first was: with no failed attempt in mind. */
const QUIET_MS = 2_000;

const median = (values) => [...values].sort((one, other) => one - other)[values.length >> 1];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A new page whose kernel sends to the peer all the time; gives the page and its kernel's peer id. */
async function pageThatSends(world, peer, way) {
  const page = await world.openPage();
  const relays = way === 'relayed' ? [world.relay.addresses.ws] : [];
  const peerId = await page.evaluate(
    async ({ options, hint, url, everyMs }) => {
      const party = await globalThis.network.KernelPage.start(options);
      globalThis.party = party;
      party.kernel.registerLocationHints(hint.split('/').at(-1), [hint]);
      const target = await party.kernel.redeemOcapURL(url);
      globalThis.endStream = party.stream(target, everyMs);
      return party.kernel.peerId;
    },
    { options: { ...LOOSE, relays }, hint: peer.addresses[way], url: peer.ready.url, everyMs: EVERY_MS },
  );
  await peer.take('received');
  await sleep(QUIET_MS);
  return { page, peerId };
}

/** From the cut to the end of the longest pause between messages that reached the peer's program. */
async function loss(peer, peerId) {
  peer.tell({ cut: peerId });
  const { cut } = await peer.take('cut');
  await sleep(QUIET_MS);
  let [before, longest, recovered] = [cut, 0, 0];
  for (;;) {
    const { at } = await peer.take('received');
    if (at - before > longest && at > cut) {
      [longest, recovered] = [at - before, at];
    }
    before = Math.max(at, cut);
    if (at > cut + QUIET_MS) {
      return recovered - cut;
    }
  }
}

/** From the peer being ready again to the page's kernel knowing that it restarted, and to its first fresh message. */
async function restart(peer, page, number) {
  await peer.kill();
  await page.evaluate(() => globalThis.endStream());
  await peer.start();
  const { url, at: ready } = peer.ready;
  const told = await page.evaluate(({ url, number }) => globalThis.party.freshAfterRestart(url, number), { url, number });
  const { at: delivered } = await peer.take('received', ({ received }) => received === number);
  return { told: told - ready, delivered: delivered - ready };
}

/** @param {import('../world.mjs').World} world */
async function overOneWay(world, way) {
  const peer = await world.peer({ role: 'kernel', seed: 2 }, [way]);
  const { page, peerId } = await pageThatSends(world, peer, way);
  const roundTripMs = await page.evaluate(() => globalThis.party.network.status().peers[0].channel.roundTripMs);
  const losses = [];
  while (losses.length < LOSSES) {
    losses.push(await loss(peer, peerId));
  }
  await page.close();
  console.error(`bench: ${way}, losses of ${losses.map(Math.round)} ms`);

  const restarts = [];
  while (restarts.length < RESTARTS) {
    // A new page each time: kernels are patient with a peer that went silent lately.
    const { page } = await pageThatSends(world, peer, way);
    restarts.push(await restart(peer, page, 1_000_000));
    await page.close();
  }
  await peer.kill();

  const row = (name, value) => ({ name: `${way}/${name}`, value: Math.round(value * 10) / 10, unit: 'ms' });
  const told = restarts.map((restart) => restart.told);
  const delivered = restarts.map((restart) => restart.delivered);
  console.error(`bench: ${way}, told of restarts after ${told.map(Math.round)} ms`);
  return [
    row('round trip between kernels, by ping', roundTripMs),
    row('channel lost, until a pending message is delivered, median', median(losses)),
    row('channel lost, until a pending message is delivered, worst', Math.max(...losses)),
    row('peer back after a restart, until the kernel is told, median', median(told)),
    row('peer back after a restart, until a fresh message is delivered, median', median(delivered)),
  ];
}

/** @param {import('../world.mjs').World} world */
export async function recovery(world) {
  const rows = [];
  for (const way of WAYS) {
    rows.push(...(await overOneWay(world, way)));
  }
  return rows;
}
