// Two tabs with one store: the second is refused it, or waits and takes over.

import { randomBytes } from 'node:crypto';
import { onStage } from '../../www/story/stage.mjs';
import { equal } from '../../www/story/tally.mjs';

/** A second is what is promised; a loaded machine gets more, and as much again as a first start takes there. */
const TAKEOVER_LIMIT_MS = 5_000;
const STARTS = 5;

export const aSecondTabWithTheSameStore = () =>
  onStage(async (stage) => {
    const context = await stage.browser.newContext();
    const settings = { seed: randomBytes(32).toString('hex'), store: 'second-tab' };
    const openedAt = performance.now();
    const first = await stage.openPage(context, 'first', 'worker', settings);
    await stage.untilRunning(first);
    const startMs = performance.now() - openedAt;
    const identity = await first.call('state');

    const refused = await stage.openPage(context, 'refused', 'worker', { ...settings, ifInUse: 'fail' });
    await stage.waitFor('the second tab to be refused', 30, async () => (await refused.call('state')).status === 'error');
    const { error } = await refused.call('state');
    if (!/^StoreInUseError: /.test(error)) {
      throw new Error(`the second tab was refused with ${error}`);
    }
    const problem = refused.page.locator('#problem');
    equal(await problem.isVisible(), true, 'whether the page shows what is wrong');
    equal(`StoreInUseError: ${await problem.textContent()}`, error, 'what the page shows');

    const heir = await stage.openPage(context, 'heir', 'worker', settings);
    // Time enough for a kernel to start that does not wait.
    await new Promise((resolve) => setTimeout(resolve, 1_000 + 2 * startMs));
    equal((await heir.call('state')).status, 'starting', 'the tab that waits');
    const closedAt = performance.now();
    await first.page.close();
    await stage.untilRunning(heir);
    const tookMs = performance.now() - closedAt;
    equal(await heir.call('state'), identity, 'who the tab that took over is');
    console.log(`        taken over ${tookMs.toFixed(0)} ms after the first tab was closed`);
    if (tookMs > TAKEOVER_LIMIT_MS + STARTS * startMs) {
      throw new Error(`the second tab took over after ${tookMs.toFixed(0)} ms only`);
    }
    stage.checkHealth();
  });
