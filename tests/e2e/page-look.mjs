// How the page looks and is used: both themes, narrow and wide, without a mouse, without motion, without any request to strangers.

import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onStage } from '../../www/story/stage.mjs';
import { equal } from '../../www/story/tally.mjs';
import { LabPage, onLab } from './lab.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const THEMES = /** @type {const} */ (['light', 'dark']);
const WIDTHS = [360, 1280];

/**
 * What axe finds wrong on a page.
 * @param {import('playwright-core').Page} page
 * @param {string} axe its source
 */
async function violations(page, axe) {
  await page.evaluate(axe); // by the debugger, which the page's policy does not bind
  const { violations: found } = await page.evaluate(() =>
    /** @type {any} */ (window).axe.run(document, { resultTypes: ['violations'] }));
  const where = (/** @type {any[]} */ nodes) => nodes.map(({ target }) => target.join(' ')).join(', ');
  return found.map((/** @type {any} */ { id, nodes }) => `${id}: ${where(nodes)}`);
}

/**
 * At how many places the frames of some messages are seen at most.
 * @param {import('playwright-core').Page} page
 */
const positions = (page) => page.evaluate(async () => {
  /** @type {Map<Element, Set<string | null>>} */
  const seen = new Map();
  const { lab } = /** @type {any} */ (window);
  const [from, to] = lab.kernels;
  await lab.send(from, to.name, 5);
  for (const deadline = performance.now() + 800; performance.now() < deadline;) {
    await new Promise(requestAnimationFrame);
    for (const dot of document.querySelectorAll('.picture svg > g:nth-child(3) > g[transform]')) {
      seen.set(dot, (seen.get(dot) ?? new Set()).add(dot.getAttribute('transform')));
    }
  }
  return Math.max(0, ...[...seen.values()].map((places) => places.size));
});

/** Whether everything is inside of the page's width. @param {import('playwright-core').Page} page */
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

export const theLooksOfThePage = () =>
  onStage(async (stage) => {
    const axe = await readFile(AXE, 'utf8');
    const folder = process.env.OCAP_SCREENSHOTS;
    const lab = await LabPage.open(stage, { context: { viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce' } });
    const { page } = lab;
    await onLab(lab, async () => {
      await lab.say(2);
      await lab.settled();
      const memory = await page.evaluate(() => /** @type {any} */ (window).lab.kernels[0].memory());
      equal(Object.values(memory).every((bytes) => bytes > 0), true, 'whether the memory of the modules is known');
      equal(await positions(page), 1, 'places at which a frame is seen by those who want no motion');
      await lab.settled();
      // A picture with much in it: three kernels, one cut off, one killed, an invitation.
      await page.evaluate(() => /** @type {any} */ (window).lab.add({ storage: 'memory', place: 'worker' }));
      await lab.choose('C');
      await lab.press('Kill');
      await lab.choose('B');
      await lab.press('Cut the line');
      await lab.choose('A');
      await lab.press('Issue a URL');
      await page.locator('details').evaluateAll((folds) => folds.forEach((fold) => {
        /** @type {HTMLDetailsElement} */ (fold).open = true;
      }));
      for (const colorScheme of THEMES) {
        for (const width of WIDTHS) {
          await page.setViewportSize({ width, height: 900 });
          await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
          await lab.until(`the layout at ${width} px`, 30, async () => (await overflow(page)) === 0).catch(() => {}); // told next
          equal(await overflow(page), 0, `pixels beyond the page at ${width} px`);
          equal(await violations(page, axe), [], `what axe finds at ${width} px, ${colorScheme}`);
          if (folder) {
            await page.screenshot({ path: join(folder, `lab-${width}-${colorScheme}.png`), fullPage: true });
          }
        }
      }
      // Everything is within reach of the keyboard, in the order in which it stands.
      await page.locator('[data-kernel="A"]').focus();
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await page.locator('[data-kernel="B"][aria-pressed="true"]').waitFor();
      await page.locator('#cut').focus();
      await page.keyboard.press('Space');
      await page.getByRole('button', { name: 'Cut the line', exact: true }).waitFor();
      equal(await page.evaluate(() => document.activeElement?.id), 'cut', 'where the focus is after a control was used');
      const { origin } = new URL(page.url());
      const relay = /\/tcp\/(\d+)\/ws/.exec(stage.relay.addresses.ws)?.[1];
      const ofRelay = `ws://127.0.0.1:${relay}/`;
      equal(lab.asked.has(ofRelay), true, 'whether the requests of Workers are seen');
      const strangers = [...lab.asked].filter((url) => url !== ofRelay && !/^(data|blob):/.test(url) && !url.startsWith(origin));
      equal(strangers, [], 'whom the page asked beside its own origin and the relay');
    });

    // Without a relay it asks for one, and says what is wrong with an address.
    const empty = new LabPage(stage, await (await stage.browser.newContext({ viewport: { width: 360, height: 800 } })).newPage());
    await empty.page.goto(stage.labAddress().split('#')[0]);
    await onLab(empty, async () => {
      equal(await violations(empty.page, axe), [], 'what axe finds on the page that asks for a relay');
      await empty.page.fill('#relays', 'somewhere');
      await empty.press('Start two kernels');
      equal(/begins with \//.test(await empty.problem()), true, 'whether the page says what an address looks like');
      await empty.page.fill('#relays', `${stage.relay.addresses.ws}\n${stage.relay.addresses.webrtc}`);
      await empty.press('Start two kernels');
      await empty.untilReady(2);
    });

    // A relay that does not answer.
    const lonely = new LabPage(stage, await (await stage.browser.newContext()).newPage());
    const nowhere = stage.relay.addresses.ws.replace(/tcp\/\d+/, 'tcp/9');
    await lonely.page.goto(stage.labAddress().replace(/#.*/, `#${new URLSearchParams({ relay: nowhere, kernels: '1' })}`));
    await onLab(lonely, async () => {
      const said = await lonely.problem();
      equal(/no relay answers.*Check that it runs/i.test(said), true, 'whether the page says that the relay does not answer');
    });
  });
