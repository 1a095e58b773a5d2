// Measures whole kernels, one in headless Chromium and others native: how soon they are together again, and a crowd. Prints the rows
// as one line of JSON. See world.mjs for the environment.

import { crowd } from './bench/crowd.mjs';
import { recovery } from './bench/recovery.mjs';
import { inWorld } from './world.mjs';

const rows = await inWorld(async (world) => [...(await recovery(world)), ...(await crowd(world))]);
console.log(JSON.stringify(rows));
