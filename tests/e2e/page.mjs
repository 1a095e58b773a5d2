// The page that shows many kernels: each of its controls, and what it says of each.

import { readFile } from 'node:fs/promises';
import { onStage } from '../../www/story/stage.mjs';
import { equal } from '../../www/story/tally.mjs';
import { LabPage, onLab } from './lab.mjs';

/** @param {boolean} is @param {string} what */
const check = (is, what) => equal(is, true, what);

/** Kernel A has its network in a frame and uses WebRTC, kernel B in a Worker and uses websockets. */
const withLab = (/** @type {(lab: LabPage) => Promise<void>} */ work, how = {}) => () =>
  onStage(async (stage) => {
    const lab = await LabPage.open(stage, how);
    await onLab(lab, () => work(lab));
  });

/** Time enough for messages that could arrive. @param {LabPage} lab @param {number} count @param {string} what */
const stillWaiting = async (lab, count, what) => {
  await lab.until(what, 60, async () => (await lab.tally()).waiting === count);
  await new Promise((resolve) => setTimeout(resolve, 700));
  equal((await lab.tally()).waiting, count, what);
};

export const theLinesOfThePage = withLab(async (lab) => {
  const { page } = lab;
  await lab.say(1);
  equal((await lab.settled()).delivered, 1, 'messages that were delivered');
  await lab.until('the verdict', 10, async () => (await lab.trial()).verdict.includes('As promised'));
  await page.getByText('received “message 1”').waitFor();

  for (const [name, ways] of [['B', 'websockets'], ['A', 'WebRTC']]) {
    await lab.choose(name);
    await lab.press('Cut the line');
    await lab.choose('A');
    await lab.say(5);
    await stillWaiting(lab, 5, `messages on their way while ${ways} are cut`);
    check((await lab.trial()).verdict.includes('Not over yet'), 'whether the page waits for them');
    await lab.choose(name);
    await lab.press('Heal the line');
    await lab.settled();
  }

  await lab.choose('B');
  await lab.press('Go offline');
  await lab.choose('A');
  await lab.say(5);
  await stillWaiting(lab, 5, 'messages on their way to a kernel that is offline');
  await lab.choose('B');
  await lab.press('Go online');
  await lab.settled();

  await lab.press('Throttle');
  const roundTrip = () => page.evaluate(() => {
    const { samples, kernels } = /** @type {any} */ (window).lab;
    return samples.last('B', kernels[0].peerId)?.roundTripMs ?? 0;
  });
  await lab.until('round trips over a slow line', 60, async () => (await roundTrip()) >= 400);
  const slow = await roundTrip();
  await lab.say(5);
  await lab.settled();
  await lab.press('Full speed');
  // Those of a busy machine are longer with either line.
  await lab.until('round trips over a quick line', 60, async () => (await roundTrip()) < slow / 2);

  const before = await lab.kernels();
  const { handshakes } = await lab.counts();
  await lab.press('Sleep 10 min');
  await lab.say(5);
  await lab.settled();
  check((await lab.counts()).handshakes > handshakes, 'whether connections had died during the sleep');
  equal(await lab.kernels(), before, 'kernels after one has slept');

  await lab.press('Cut all lines');
  await lab.say(2);
  await stillWaiting(lab, 2, 'messages on their way without a relay');
  await lab.press('Heal all lines');
  await lab.settled();
  const { restarts, givenUp } = await lab.counts();
  equal({ restarts, givenUp }, { restarts: 0, givenUp: 0 }, 'peers that were taken for restarted or given up');
});

export const theLivesOfThePage = withLab(async (lab) => {
  const { page } = lab;
  const life = async (/** @type {string} */ name) => (await lab.kernel(name)).incarnations.length;
  // Durable: the same incarnation, and what was sent meanwhile arrives.
  await lab.choose('B');
  await lab.press('Kill');
  equal((await lab.kernel('B')).condition, 'killed', 'the kernel that was killed');
  check(await page.getByRole('button', { name: 'Kill', exact: true }).isDisabled(), 'whether what is dead cannot be killed');
  await lab.choose('A');
  await lab.say(3);
  await lab.choose('B');
  await lab.press('Revive');
  const revived = await lab.settled();
  equal([revived.delivered, revived.reported, await life('B')], [3, 0, 1], 'delivered, reported, lives of a kernel that remembers');

  // Wiped: another incarnation, and A is told.
  await lab.choose('A');
  await lab.say(1);
  await lab.settled();
  await lab.choose('B');
  await lab.press('Wipe store');
  await lab.until('another life', 30, async () => (await life('B')) === 2);
  await lab.until('A to be told', 30, async () => (await lab.counts()).restarts === 1);
  await lab.until('the introductions', 30, async () => (await lab.kernel('A')).targets.includes('B'));
  await page.getByRole('button', { name: 'Kernel B, life 2, running' }).waitFor();
  await lab.choose('A');
  await lab.say(2);
  await lab.settled();

  // A third one, in memory.
  await page.getByText('Add a kernel').click();
  await page.getByText('in memory: each start').click();
  await page.getByText('in a frame: WebRTC').click();
  await lab.press('Add it');
  await lab.until('a third kernel', 30, async () =>
    (await lab.kernels()).length === 3 && (await lab.kernel('C')).targets.length > 0);
  await lab.until('its introductions', 30, async () => (await page.textContent('#busy')) === '');
  await lab.press('Kill');
  await lab.press('Revive');
  await lab.until('its second life', 30, async () => (await lab.kernel('C')).targets.length > 0 && (await life('C')) === 2);
  await lab.say(1);
  await lab.settled();
  await lab.press('Remove');
  await lab.until('it to be gone', 10, async () => (await lab.kernels()).length === 2);

  // Scenes, at the press of a button.
  for (const name of ['Cut the line in mid-stream', 'Kill one that forgets']) {
    const scene = page.locator('.scene', { hasText: name });
    const { sent } = await lab.tally();
    await scene.click();
    await lab.until(`the scene “${name}” to be over`, 60, async () => (await lab.tally()).sent > sent && scene.isEnabled());
    await lab.checkProblem();
    await lab.until('its verdict', 10, async () => (await lab.trial()).verdict.includes('As promised'));
  }
  await lab.kept();

  // The incumbent's rule loses what ours does not, on kernels of their own.
  const tally = await lab.tally();
  await page.locator('.scene', { hasText: 'Compare' }).click();
  await lab.until('the comparison to begin', 20, async () => (await lab.trial()).title.startsWith('Compare, now ours'));
  await lab.until('the comparison to be over', 60, () => page.locator('.scene', { hasText: 'Compare' }).isEnabled());
  const [ours, theirs] = await page.locator('.trial .observed').allTextContents();
  check(/sent 20 · delivered 20 · lost 0 · doubled 0/.test(ours), `whether our rule loses nothing: ${ours}`);
  check(/sent 20 · delivered 17 · lost 3 · doubled 0/.test(theirs), `whether the incumbent's rule loses three: ${theirs}`);
  equal(await lab.tally(), tally, 'the sum of all messages after the comparison');
  equal((await lab.kernels()).length, 2, 'kernels after the comparison');

  // A page that is loaded anew deletes the stores of the one that is gone.
  const stores = () => page.evaluate(async () => {
    /** @type {string[]} */
    const names = [];
    const list = async (/** @type {any} */ folder) => {
      for await (const [name, entry] of folder.entries()) {
        names.push(name);
        await (entry.kind === 'directory' ? list(entry) : undefined);
      }
    };
    await list(await navigator.storage.getDirectory());
    return names.join(' ');
  });
  const own = await page.evaluate(() => /** @type {any} */ (window).lab.kernels.map((/** @type {any} */ { storeName }) => storeName));
  const before = await stores();
  check(own.every((/** @type {string} */ name) => before.includes(name)), 'whether the stores are where the test looks');
  await page.reload();
  await lab.untilReady(2);
  await lab.until('the former stores to be gone', 20, async () => {
    const left = await stores();
    return own.every((/** @type {string} */ name) => !left.includes(name));
  });
});

export const theTalkOfThePage = withLab(async (lab) => {
  const { page, stage } = lab;
  // A thousand, with progress, which can be stopped.
  await lab.choose('A');
  await lab.press('Send 1,000');
  await page.getByRole('progressbar').waitFor();
  await lab.until('some of it to be sent', 20, async () => (await lab.tally()).sent >= 50);
  await lab.press('Stop');
  await page.getByRole('progressbar').waitFor({ state: 'hidden' });
  const { sent } = await lab.settled();
  check(sent < 1_000, 'whether it was stopped');
  await lab.press('Send 1,000');
  await lab.until('a thousand to be sent', 60, async () => (await lab.tally()).sent === sent + 1_000);
  equal((await lab.settled()).delivered, sent + 1_000, 'messages that were delivered');
  check(/kernel B/i.test((await page.locator('.timeline h3').first().textContent()) ?? ''), 'whether there is a timeline');
  const plot = await page.locator('.plot-area .plot.sent').first().getAttribute('d');
  check(/M.*L/.test(plot ?? ''), 'whether it has a line');

  // A URL, and a link for another machine.
  await lab.press('Issue a URL');
  const url = await page.inputValue('#ocap-url');
  check(url.startsWith('ocap:z'), 'whether there is a URL');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await lab.press('Copy: OCAP URL of A’s greeter');
  await page.getByText('copied', { exact: true }).waitFor();
  equal(await page.evaluate(() => navigator.clipboard.readText()), url, 'what was copied');
  await page.getByText('The link as a QR code').click();
  check(await page.getByRole('img', { name: 'QR code of the link' }).isVisible(), 'whether the QR code is shown');
  const link = await page.inputValue('#invitation-link');
  check(new URL(link).search === '' && link.includes(encodeURIComponent(url)), 'whether the URL is where no server sees it');

  // The link in another profile: its kernel is ready to talk.
  const guest = new LabPage(stage, await (await stage.browser.newContext()).newPage());
  await guest.page.goto(link);
  await onLab(guest, async () => {
    await guest.untilReady(1);
    await guest.until('the URL to be redeemed', 30, async () => (await guest.trial()).title.startsWith('Ready to talk'));
    await guest.say(3);
    equal((await guest.settled()).delivered, 3, 'messages from another profile');
    await page.getByText('received “message 3”').waitFor();
    await lab.press('Issue a URL');
    await guest.page.fill('#foreign-url', await page.inputValue('#ocap-url'));
    await guest.press('Redeem');
    await guest.until('the redemption', 20, async () => (await guest.page.inputValue('#foreign-url')) === '');
  });

  // What goes wrong says what to do.
  await page.fill('#foreign-url', 'ocap:nothing');
  await lab.press('Redeem');
  check(/Check that the URL was copied whole/.test(await lab.problem()), 'whether the page says what to do about a bad URL');

  // The log.
  await page.selectOption('#log-kind', 'handshake');
  await page.fill('#log-text', 'incarnation');
  const rows = page.locator('#log li');
  const filtered = await rows.allTextContents();
  check(filtered.length > 0 && filtered.every((row) => row.includes('handshake')), 'whether the log is filtered');
  const [download] = await Promise.all([page.waitForEvent('download'), lab.press('Export JSON')]);
  const entries = JSON.parse(await readFile(/** @type {string} */ (await download.path()), 'utf8'));
  check(entries.length > 0 && entries.every((/** @type {any} */ { kind, at }) => kind === 'handshake' && !Number.isNaN(Date.parse(at))),
    'whether the log is exported');
  await page.fill('#log-text', '');
  await page.selectOption('#log-kind', '');
  await lab.press('Pause');
  const shown = await rows.allTextContents();
  await lab.say(1);
  await lab.settled();
  equal(await rows.allTextContents(), shown, 'the log while it is paused');
  await lab.press('Go on');
  check((await rows.allTextContents()).length > 0 && (await rows.first().textContent()) !== shown[0], 'whether the log goes on');
  await page.selectOption('#log-kernel', 'B');
  check((await rows.allTextContents()).every((row) => row.includes('B')), 'whether the log is filtered by kernel');
  await lab.press('Clear');
  await lab.kept();
});
