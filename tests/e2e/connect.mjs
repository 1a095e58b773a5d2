// The ways to join a kernel and its network, with the helpers of the package.

import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { CHROMIUM, CHROMIUM_FLAGS } from '../../www/story/stage.mjs';
import { equal } from '../../www/story/tally.mjs';
import { serveFolders } from '../bench/site.mjs';

const folder = (path) => fileURLToPath(new URL(path, import.meta.url));

export async function theWaysToConnect() {
  const site = await serveFolders({ pkg: folder('../../pkg'), js: folder('../../src/js'), connect: folder('connect') });
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS });
  try {
    const page = await browser.newPage();
    await page.goto(site.url);
    const run = (name) => page.evaluate(async (name) => (await import('/connect/page.js'))[name](), name);
    for (const way of ['networkInPage', 'networkInWorker']) {
      equal(/^12D3KooW/.test(await run(way)), true, `whether a kernel runs: ${way}`);
    }
    const { early, aborted: abortedEarly } = await run('earlyCalls');
    equal(early.every((value, number) => value === number * 2) && early.length, 300, 'calls before the Worker answers any');
    equal(abortedEarly.name, 'AbortError', 'one of them that was aborted');
    const { many, failed, unknown, uncloneable, deadline, late, aborted, busy, closed, after, broken } = await run('calls');
    equal(many.every((value, number) => value === number * 2) && many.length, 1_000, 'calls that were answered rightly');
    equal(failed, { name: 'RangeError', message: 'too far', data: { limit: 7 } }, 'an error over the bridge');
    equal(unknown.name, 'TypeError', 'a call that is not there');
    equal(uncloneable.name, 'DataCloneError', 'an argument that cannot cross');
    equal([deadline.name, late.name], ['TimeoutError', 'AbortError'], 'calls whose signal is aborted');
    equal(aborted, { value: 1 }, 'how often the Worker was told');
    equal([busy.name, closed, after.name], ['BridgeBusyError', ['BridgeClosedError'], 'BridgeClosedError'], 'the ends of waiting');
    equal(broken.name, 'WorkerError', 'a Worker that cannot be loaded');
  } finally {
    await browser.close();
    site.close();
  }
}
