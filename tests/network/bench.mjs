// Measures the network in headless Chromium, beside js-libp2p in the same page, and prints the rows as one line of JSON.

import { compare } from './bench/compare.mjs';
import { crowd } from './bench/crowd.mjs';
import { recovery } from './bench/recovery.mjs';
import { inWorld } from './world.mjs';

const chosen = process.argv.slice(2);
const PARTS = { compare, recovery, crowd };

await inWorld(async (world) => {
  const rows = [];
  for (const [name, part] of Object.entries(PARTS)) {
    if (chosen.length === 0 || chosen.includes(name)) {
      rows.push(...(await part(world)));
    }
  }
  console.log(JSON.stringify(rows));
});
