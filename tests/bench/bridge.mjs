// Measures calls across the bridge, comlink and bare postMessage in one headless Chromium, and prints the rows as one line
// of JSON. A ratio above 1 always means that ours is better.
//
// usage: node bridge.mjs <folder of the wasm-pack build> <rounds>

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { CHROMIUM, CHROMIUM_FLAGS } from '../../www/story/stage.mjs';
import { serveFolders } from './site.mjs';

const [folder, rounds] = process.argv.slice(2);
const site = await serveFolders({
  ours: folder,
  // What the package tells Node to load is not an ES module.
  comlink: join(dirname(fileURLToPath(import.meta.resolve('comlink'))), '../esm'),
  bench: dirname(fileURLToPath(import.meta.url)),
});
const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: CHROMIUM_FLAGS,
});
try {
  const page = await browser.newPage();
  await page.goto(site.url);
  const rows = await page.evaluate(async (rounds) => {
    const { measure } = await import('/bench/bridge-page.mjs');
    return measure(rounds);
  }, Number(rounds));
  console.log(JSON.stringify(rows));
} finally {
  await browser.close();
  site.close();
}
