// Runs the benchmark's wasm in headless Chromium and prints its rows as one line of JSON.
//
// usage: node browser.mjs <folder of the wasm-pack build> <rounds> <messages>

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { CHROMIUM, CHROMIUM_FLAGS } from '../../www/story/stage.mjs';

const [folder, rounds, messages] = process.argv.slice(2);
// No server: every request to this made-up origin is answered from the folder.
const ORIGIN = 'http://bench.invalid';
const TYPES = { html: 'text/html', js: 'text/javascript', wasm: 'application/wasm' };

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: CHROMIUM_FLAGS,
});
try {
  const page = await browser.newPage();
  await page.route(`${ORIGIN}/**`, async (route) => {
    const name = new URL(route.request().url()).pathname.slice(1) || 'index.html';
    const body = name === 'index.html' ? '<!doctype html><title>bench</title>' : await readFile(join(folder, name));
    await route.fulfill({ body, contentType: TYPES[name.split('.').pop()] });
  });
  await page.goto(`${ORIGIN}/`);
  const rows = await page.evaluate(
    async ([rounds, messages]) => {
      const { default: init, bench } = await import('/session_bench.js');
      await init();
      return bench(rounds, messages);
    },
    [Number(rounds), Number(messages)],
  );
  console.log(rows);
} finally {
  await browser.close();
}
