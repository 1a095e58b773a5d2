// Whole-system tests in real browsers; see www/story/run.mjs and soaks.mjs for the environment. The last line counts them: `N passed, N failed`.
// Arguments, if any, choose tests by a part of their names.

import { Interrupted, within } from '../../www/story/within.mjs';
import { theWaysToConnect } from './connect.mjs';
import { theExtension } from './extension.mjs';
import { theFilesOfTheExtensions } from './extension-files.mjs';
import { aFullDisk } from './full-disk.mjs';
import { hasFirefox, theExtensionInFirefox } from './firefox.mjs';
import { twoKernelsInJavaScript } from './javascript-kernels.mjs';
import { aPageKilledInMidStream } from './killed-page.mjs';
import { aStoreKilledInMidWrite } from './killed-store.mjs';
import { theOffscreenDocument } from './offscreen.mjs';
import { theLinesOfThePage, theLivesOfThePage, theTalkOfThePage } from './page.mjs';
import { theBooksOfThePage } from './page-ledger.mjs';
import { theLooksOfThePage } from './page-look.mjs';
import { aShortSoakOfThePage } from './page-soak.mjs';
import { aSecondTabWithTheSameStore } from './second-tab.mjs';
import { aShortSoakOfKernels, aShortSoakOfTheNetwork } from './soaks.mjs';
import { theStoryOfTheDemo } from './story.mjs';

/** @typedef {[name: string, test: () => Promise<void>]} Test */

/**
 * Tests that mostly wait need not wait for each other; each has a browser of its own.
 * @param {...() => Promise<void>} tests
 */
const together = (...tests) => async () => {
  const results = await Promise.allSettled(tests.map((test) => test()));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) {
    throw failed.reason;
  }
};

/** @type {Test[]} Firefox is there on some machines only. */
const firefox = hasFirefox ? [['the extension in Firefox', theExtensionInFirefox]] : [];
if (!hasFirefox) {
  console.log('without FIREFOX_BIN or /usr/bin/firefox-esr the extension is not tested in Firefox');
}

/** @type {Test[]} */
const TESTS = [
  ['the ways to connect a kernel and its network', theWaysToConnect],
  ['the offscreen document of an extension', theOffscreenDocument],
  ['the story of the demo', theStoryOfTheDemo],
  ['the page: its books', theBooksOfThePage],
  ['the page: messages, invitations and the log', theTalkOfThePage],
  ['the page: lines and lives', together(theLinesOfThePage, theLivesOfThePage)],
  ['the page: its looks, with keyboard and axe, and a short soak', together(theLooksOfThePage, aShortSoakOfThePage)],
  [
    'pages with the network in a Worker and in the window are killed in mid-stream',
    together(aPageKilledInMidStream('window', 'worker'), aPageKilledInMidStream('worker', 'window')),
  ],
  ['an origin without space', aFullDisk],
  ['a second tab with the same store', aSecondTabWithTheSameStore],
  ['two kernels in JavaScript with our remotes and transport', twoKernelsInJavaScript],
  ['the files of the extensions, and their guide', theFilesOfTheExtensions],
  ['the extension in two profiles', theExtension],
  ...firefox,
  ['a browser and a renderer with a durable store are killed in mid-write', aStoreKilledInMidWrite],
  ['a short soak of the network', aShortSoakOfTheNetwork],
  ['a short soak of kernels', aShortSoakOfKernels],
];

/** For a test that hangs; what it waits for has limits of its own, and a busy machine is slow. */
const TEST_LIMIT_MS = 720_000;

const parts = process.argv.slice(2);
const chosen = TESTS.filter(([name]) => parts.length === 0 || parts.some((part) => name.includes(part)));
let passed = 0;
let failed = 0;
for (const [name, test] of chosen) {
  const startedAt = Date.now();
  const took = () => `${((Date.now() - startedAt) / 1_000).toFixed(1)} s`;
  try {
    await within(test(), name, TEST_LIMIT_MS);
    passed += 1;
    console.log(`ok      ${name} (${took()})`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name} (${took()}): ${error instanceof Error ? error.message : error}`);
    if (error instanceof Interrupted) {
      break;
    }
  }
}
console.log(`${passed} passed, ${failed} failed`);
// Also when something that could not be ended is still there.
process.exit(failed > 0 || passed === 0 ? 1 : 0);
