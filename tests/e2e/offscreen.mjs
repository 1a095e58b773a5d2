// `openOffscreenDocument` in a real extension: called twice at once, by two lives of a service worker, for two documents.

import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { equal } from '../../www/story/tally.mjs';
import { BrowserProcess } from './browser-process.mjs';

const folder = (path) => fileURLToPath(new URL(path, import.meta.url));
const HERE = 'here';

export async function theOffscreenDocument() {
  const scratch = await mkdtemp(join(tmpdir(), 'ocap-offscreen-'));
  const extension = join(scratch, 'extension');
  await cp(folder('connect/offscreen'), extension, { recursive: true });
  for (const file of ['connect.js', 'errors.js']) {
    await cp(folder(`../../src/js/${file}`), join(extension, 'js', file));
  }
  const browser = await BrowserProcess.launch(join(scratch, 'profile'), [`--load-extension=${extension}`]);
  try {
    const { context } = browser;
    const worker = context.serviceWorkers()[0] ?? (await context.waitForEvent('serviceworker', { timeout: 30_000 }));
    const run = (name) => worker.evaluate((name) => globalThis.cases[name](), name);
    equal(await run('atOnce'), [HERE, HERE, HERE, HERE, HERE], 'calls at once');
    equal(await run('again'), [HERE], 'a call when it is open');
    equal(/document\.html is open/.test(await run('another')), true, 'another document while one is open');
    equal(await run('byAFormerLife'), [HERE, HERE, HERE, HERE, HERE], 'one that a former life opens');
    const [one, other] = await run('twoOthersAtOnce');
    equal([one, /document\.html is being opened/.test(other)], ['open', true], 'two documents at once');
    equal((await run('missing')) === 'open', false, 'whether what is no document of the extension opens');
  } finally {
    await browser.kill();
    await rm(scratch, { recursive: true, force: true, maxRetries: 10 });
  }
}
