// Many kernels on one page for long: nothing is lost or doubled, and what the browser needs stays flat.
//
//   node tests/e2e/page-soak.mjs KERNELS MINUTES    as `cargo xtask soak page` does; the last line on stdout is the outcome as JSON

import { readFile } from 'node:fs/promises';
import { platform } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { onStage } from '../../www/story/stage.mjs';
import { withProfile } from './browser-process.mjs';
import { LabPage, onLab } from './lab.mjs';

/** Messages that each kernel sends to its neighbour in one round. */
const BATCH = 20;
/** How often a round begins, in milliseconds. */
const ROUND_MS = 1_000;
/** Rounds at least, however long each takes on a busy machine: memory is compared between them. */
const ROUNDS_AT_LEAST = 8;
/** In every so manieth round something goes wrong. */
const TROUBLE_EVERY = 3;
/** What the second half may need more than the end of the first, in parts of it and in bytes: collectors take their time. */
const GROWTH = 0.1;
const SLACK_BYTES = 24 << 20;
const SHORT = { kernels: 6, seconds: 10 };

/**
 * What the renderers of a browser have in memory, in bytes; none where there is no /proc.
 * @param {import('playwright-core').CDPSession} session of the browser
 */
async function memory(session) {
  if (platform !== 'linux') {
    return undefined;
  }
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const sizes = await Promise.all(processInfo.filter(({ type }) => type === 'renderer').map(async ({ id }) => {
    const status = await readFile(`/proc/${id}/status`, 'utf8').catch(() => '');
    return Number(/^RssAnon:\s*(\d+) kB/m.exec(status)?.[1] ?? 0) * 1_024;
  }));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/**
 * What the modules of all kernels and networks have of it, in bytes.
 * @param {LabPage} lab
 * @returns {Promise<number>}
 */
const moduleMemory = (lab) => lab.page.evaluate(async () => {
  const { kernels } = /** @type {any} */ (window).lab;
  const memories = await Promise.all(kernels.map((/** @type {any} */ kernel) => kernel.memory().catch(() => ({ kernel: 0, network: 0 }))));
  return memories.reduce((sum, { kernel, network }) => sum + kernel + network, 0);
});

/**
 * One thing that goes wrong and is put right again, with one kernel after the other.
 * @param {LabPage} lab
 * @param {number} round
 */
const trouble = (lab, round) => lab.page.evaluate(async (round) => {
  const { lab } = /** @type {any} */ (window);
  const kernel = lab.kernels[round % lab.kernels.length];
  const pause = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));
  // Each kernel meets each kind in its turn.
  switch ((round + Math.floor(round / lab.kernels.length)) % 3) {
    case 0:
      await lab.setLine(kernel, { cut: true }, 'its line was cut');
      await pause(300);
      await lab.setLine(kernel, { cut: false }, 'its line was healed');
      break;
    case 1:
      lab.kill(kernel);
      await pause(300);
      await lab.revive(kernel);
      break;
    default:
      lab.kill(kernel);
      await lab.revive(kernel, { wipe: true });
  }
}, round);

/** @param {LabPage} lab */
const sendRound = (lab) => lab.page.evaluate(async (batch) => {
  const { lab } = /** @type {any} */ (window);
  await Promise.allSettled(lab.kernels.flatMap((/** @type {any} */ kernel) =>
    [...kernel.targets.keys()].map((name) => lab.send(kernel, name, batch))));
}, BATCH);

/**
 * @param {{ kernels: number, seconds: number, tell: (line: string) => void }} how
 */
async function soak({ kernels, seconds, tell }) {
  return onStage(async (stage) => {
    const context = await withProfile(stage);
    const lab = await LabPage.openIn(context, stage, { kernels, settings: { network: 'worker' } });
    const browser = /** @type {import('playwright-core').Browser} */ (context.browser());
    const session = await browser.newBrowserCDPSession();
    const page = await context.newCDPSession(lab.page);
    await page.send('Performance.enable');
    /** @type {{ bytes: number, modules: number }[]} Of each round. */
    const memories = [];
    const startedAt = Date.now();
    const passed = () => (Date.now() - startedAt) / 1_000;
    await onLab(lab, async () => {
      for (let round = 1; passed() < seconds || round <= ROUNDS_AT_LEAST; round += 1) {
        const roundAt = Date.now();
        const troubled = round % TROUBLE_EVERY === 0 ? trouble(lab, round / TROUBLE_EVERY) : undefined;
        await Promise.all([sendRound(lab), troubled]);
        await page.send('HeapProfiler.collectGarbage');
        const bytes = await memory(session);
        if (bytes !== undefined) {
          memories.push({ bytes, modules: await moduleMemory(lab) });
        }
        await lab.kept();
        if (round % 30 === 0) {
          const { modules = 0 } = memories.at(-1) ?? {};
          const { metrics } = await page.send('Performance.getMetrics');
          const heap = metrics.find(({ name }) => name === 'JSHeapUsedSize')?.value ?? 0;
          const mib = (/** @type {number} */ size) => `${(size / 2 ** 20).toFixed(0)} MiB`;
          tell(`${passed().toFixed(0)} s: ${mib(bytes ?? 0)} in memory, ${mib(modules)} of modules, ${mib(heap)} of the page's heap; `
            + JSON.stringify(await lab.tally()));
        }
        await sleep(Math.max(0, ROUND_MS - (Date.now() - roundAt)));
      }
      await lab.settled(120);
    });
    // The most in a part of the rounds; the first quarter is warming up.
    const most = (/** @type {number} */ from, /** @type {number} */ to) => {
      const part = memories.slice(Math.floor(from * memories.length), Math.ceil(to * memories.length));
      return {
        modules: Math.max(0, ...part.map(({ modules }) => modules)),
        rest: Math.max(0, ...part.map(({ bytes, modules }) => bytes - modules)),
      };
    };
    const sizes = { bytesBefore: most(0.25, 0.5), bytesAfter: most(0.75, 1) };
    const { sent, delivered, reported, lost, doubled } = await lab.tally();
    const counts = await lab.counts();
    return { kernels, seconds, sent, delivered, reported, lost, doubled, ...counts, ...sizes };
  }, { limitMs: (seconds + 300) * 1_000 });
}

/** @param {Awaited<ReturnType<typeof soak>>} outcome */
function check({ sent, delivered, written, bytesBefore, bytesAfter, restarts }) {
  if (sent === 0 || restarts === 0) {
    throw new Error(`the soak was none: ${sent} messages, ${restarts} restarts`);
  }
  if (written < delivered) {
    throw new Error(`the picture of the page lacks what passed: ${written} messages written, ${delivered} delivered`);
  }
  for (const part of /** @type {const} */ (['modules', 'rest'])) {
    if (bytesAfter[part] > bytesBefore[part] * (1 + GROWTH) + SLACK_BYTES) {
      throw new Error(`the memory of ${part} grew from ${bytesBefore[part]} to ${bytesAfter[part]} bytes`);
    }
  }
}

export async function aShortSoakOfThePage() {
  const outcome = await soak({ ...SHORT, tell: () => {} });
  console.log(`        ${JSON.stringify(outcome)}`);
  // Too short for restarts of all kinds.
  check({ ...outcome, restarts: 1 });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [kernels = 20, minutes = 10] = process.argv.slice(2).map(Number);
  const outcome = await soak({ kernels, seconds: minutes * 60, tell: (line) => console.error(line) });
  console.log(JSON.stringify(outcome));
  check(outcome);
}
