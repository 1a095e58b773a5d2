// Measures our transport and js-libp2p in one headless Chromium, each in turn over the same ways to the same peer, and prints
// the rows as one line of JSON. A ratio above 1 always means that ours is better.
//
// usage: node network.mjs <folder of the built page> <relay> <echo peer> <rounds>

import { onNetworkStage } from './network-stage.mjs';

const [folder, relayBinary, echoBinary, rounds] = process.argv.slice(2);

/** As the page has them. */
const SIZES = [256, 1_024, 64 * 1_024, 1_024 * 1_024];

const median = (values) => [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];
const round = (value, digits) => Number(value.toFixed(digits));
const named = (bytes) => (bytes >= 1 << 20 ? `${bytes >> 20} MiB` : bytes >= 1_024 ? `${bytes >> 10} KiB` : `${bytes} B`);

/** The figures of one size, from all rounds of both. */
function rows(way, bytes, ours, theirs) {
  const row = (figure, unit, digits, more) => {
    const [mine, other] = [ours, theirs].map((all) => median(all.map((one) => one?.[figure] ?? Number.NaN)));
    // JSON has no NaN: what did not come to an end in time is null.
    return { ours: round(mine, digits), theirs: round(other, digits), ratio: round(more ? mine / other : other / mine, 2), unit };
  };
  const prefix = `${way}/${named(bytes)}`;
  return [
    { name: `${prefix} there and back, median`, ...row('p50', 'ms', 2, false) },
    { name: `${prefix} there and back, 99 of 100`, ...row('p99', 'ms', 2, false) },
    { name: `${prefix} there and back, many in flight`, ...row('perSecond', '/s', 1, true) },
  ];
}

await onNetworkStage(folder, relayBinary, echoBinary, async (page, echo) => {
  const all = [];
  for (const way of ['ws', 'webrtc', 'relayed']) {
    const figures = { ours: [], theirs: [] };
    for (let number = 0; number < Number(rounds); number += 1) {
      // In turns, and each begins as often as the other.
      for (const library of number % 2 === 0 ? ['ours', 'theirs'] : ['theirs', 'ours']) {
        figures[library].push(await page.evaluate((args) => globalThis.round(...args), [library, echo.peerId, echo[way]]));
        console.error(`bench: ${way}, round ${number + 1} of ${rounds}, ${library}`);
      }
    }
    for (const [index, bytes] of SIZES.entries()) {
      all.push(...rows(way, bytes, ...['ours', 'theirs'].map((who) => figures[who].map((one) => one[index]))));
    }
  }
  console.log(JSON.stringify(all));
});
