// The package as its users meet it: packed, installed into fresh projects, built, and driven in Chromium. The last line counts:
// `N passed, N failed`. Arguments, if any, choose checks by a part of their names. OCAP_RELAY_BIN, OCAP_CRASH_TEST (a build of
// both halves that can be told to crash) and CHROME_BIN come from `cargo xtask test --only package`.

import { join } from 'node:path';
import { Relay } from '../../www/story/relay.mjs';
import { within } from '../../www/story/within.mjs';
import { serveFolders } from '../bench/site.mjs';
import * as behaviour from './behaviour.mjs';
import { coldStart, launch, oneMessage, visit } from './drive.mjs';
import { runExamples } from './fragments.mjs';
import { inNode } from './node.mjs';
import { nonsenseCrashesNothing } from './nonsense.mjs';
import { checkContents, pack, ROOT, WORK } from './pack.mjs';
import { build, develop, leavesOutWhatIsUnused } from './projects.mjs';
import * as surroundings from './surroundings.mjs';
import { eachEntryAlone, reference, strictTypes, theTypesOfThePackage } from './types.mjs';

/** Of one check, builds included, on a busy machine. */
const CHECK_LIMIT_MS = 180_000;
/** Of what is done before and after them all. */
const STAGE_LIMIT_MS = 60_000;
const chosen = process.argv.slice(2);
let passed = 0;
let failed = 0;

/**
 * @param {string} name
 * @param {() => Promise<unknown>} check
 */
async function check(name, check) {
  if (chosen.length > 0 && !chosen.some((part) => name.includes(part))) {
    return;
  }
  const startedAt = Date.now();
  const took = () => `${((Date.now() - startedAt) / 1_000).toFixed(1)} s`;
  try {
    await within(check(), name, CHECK_LIMIT_MS);
    passed += 1;
    console.log(`ok      ${name} (${took()})`);
  } catch (error) {
    failed += 1;
    const { message, stdout = '' } = /** @type {Error & { stdout?: string }} */ (error);
    console.log(`FAILED  ${name} (${took()}): ${message}\n${stdout}`);
  }
}

const { tarball, files, size } = await within(pack(), 'npm pack', STAGE_LIMIT_MS);
console.log(`        packed: ${files.length} files, ${size} bytes`);
const relayProgram = process.env.OCAP_RELAY_BIN ?? join(ROOT, 'target/debug/ocap-relay');
const relay = await within(Relay.create(relayProgram), 'the relay', STAGE_LIMIT_MS);
const browser = await within(launch(), 'Chromium', STAGE_LIMIT_MS);
const site = await serveFolders({
  vite: join(WORK, 'vite/dist'),
  webpack: join(WORK, 'webpack'),
  plain: join(WORK, 'plain'),
  package: join(ROOT, 'pkg'),
  kernels: join(ROOT, 'tests/e2e/javascript-kernels'),
  crash: process.env.OCAP_CRASH_TEST ?? join(ROOT, 'target/crash-test'),
});
const [blank, modules, crashTest, kernels] = ['page', 'package/', 'crash/', 'kernels/'].map((path) => `${site.url}${path}`);
const place = { browser, blank, modules, crashTest, kernels };
try {
  await check('what npm would publish', () => checkContents(files));
  await check('a strict TypeScript program', () => strictTypes(tarball));
  await check('each entry by itself in TypeScript', () => eachEntryAlone(tarball));
  await check('the types, as resolvers and linters see them', () => theTypesOfThePackage(tarball));
  await check('an API reference without warnings', () => reference());
  await check('loading: when, once, again', () => behaviour.loading(place));
  await check('loading: from all there is', () => behaviour.sources(place));
  await check('errors are classes, events are iterables', () => behaviour.errors(place));
  await check('wrong types are errors that name the argument', () => behaviour.wrongTypes(place));
  await check('nonsense crashes nothing', () => nonsenseCrashesNothing(place));
  await check('objects of another realm', () => surroundings.otherRealms(place));
  await check('browsers whose WebRTC something has replaced', () => surroundings.replacedWebRtc(place, relay.addresses.webrtc));
  await check('databases that answer later', () => surroundings.databasesThatAnswerLater(place));
  await check('every call fails after a crash', () => behaviour.crash(place));
  for (const name of ['plain', 'vite', 'webpack']) {
    await check(`one message in a ${name} application`, async () => {
      await build(name, tarball, relay.addresses.ws);
      await oneMessage(browser, `${site.url}${name}/index.html`);
    });
  }
  await check("one message from Vite's development server", async () => {
    const server = await develop(join(WORK, 'vite'));
    try {
      await visit(browser, server.address);
      await oneMessage(browser, server.address);
    } finally {
      server.stop();
    }
  });
  await check('what is not used is left out', () => leavesOutWhatIsUnused(join(WORK, 'webpack')));
  await check('one message from Node', () => inNode(tarball, relay.addresses.ws));
  await check('a process of Node ends after the last stop', () => surroundings.theProcessEnds(tarball, relay.addresses.ws));
  await check('the other examples of the documents', () => runExamples({ ...place, relay: relay.addresses.ws }));
  await check('the cold start', async () => {
    for (const module of ['kernel/kernel.js', 'kernel/inline.js', 'network/network.js', 'network/inline.js']) {
      console.log(`        from import to first call, ${module}: ${await coldStart(browser, blank, `${modules}${module}`)} ms`);
    }
  });
} finally {
  await within(browser.close(), 'Chromium to close', STAGE_LIMIT_MS).catch(({ message }) => console.log(message));
  site.close();
  await relay.remove();
}
console.log(`${passed} passed, ${failed} failed`);
// Also when a check that did not end is still at it.
process.exit(failed > 0 || passed === 0 ? 1 : 0);
