// Two people open an application in browsers of their own, and one sends the other a message.

import { CHROMIUM, CHROMIUM_FLAGS } from '../../www/story/stage.mjs';
import { chromium } from 'playwright-core';

const MESSAGE_LIMIT_MS = 60_000;
/** Of the cold start, which the machine's other work disturbs. */
const ROUNDS = 5;

export const launch = () =>
  chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS });

/**
 * Opens a page in a context of its own, whose errors are collected.
 * @param {import('playwright-core').Browser} browser
 * @param {string} address
 */
export async function open(browser, address) {
  const context = await browser.newContext();
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') {
      complaints.push(message.text());
    }
  });
  page.on('requestfailed', (request) => complaints.push(`${request.url()}: ${request.failure()?.errorText}`));
  await page.goto(address);
  return { page, complaints, close: () => context.close() };
}

/**
 * @param {Awaited<ReturnType<typeof open>>} tab
 * @param {RegExp} pattern
 */
async function untilShown({ page, complaints }, pattern) {
  try {
    const text = await page.waitForFunction(
      ({ source }) => new RegExp(source).exec(document.body.innerText)?.[0],
      { source: pattern.source },
      { timeout: MESSAGE_LIMIT_MS },
    );
    return String(await text.jsonValue());
  } catch {
    throw new Error(`the page does not show ${pattern}: it shows "${await page.innerText('body')}"; ${complaints.join('; ')}`);
  }
}

/**
 * Opens the README's application until it works. At the first visit Vite's development server finds what the Worker imports, and loads
 * the page once more.
 * @param {import('playwright-core').Browser} browser
 * @param {string} address
 */
export async function visit(browser, address) {
  const tab = await open(browser, address);
  await untilShown(tab, /ocap:\S+/);
  await tab.close();
}

/**
 * Drives the README's application to one message and its answer.
 * @param {import('playwright-core').Browser} browser
 * @param {string} address
 */
export async function oneMessage(browser, address) {
  const first = await open(browser, address);
  const url = await untilShown(first, /ocap:\S+/);
  const second = await open(browser, `${address}?${new URLSearchParams({ url })}`);
  await untilShown(second, /hello/);
  const complaints = [...first.complaints, ...second.complaints];
  await first.close();
  await second.close();
  if (complaints.length > 0) {
    throw new Error(`the pages complain: ${complaints.join('; ')}`);
  }
}

/**
 * The time from importing a module, nothing of which is cached, to the return of a first call into it. In milliseconds, the median.
 * @param {import('playwright-core').Browser} browser
 * @param {string} blank an empty page of the same origin
 * @param {string} module
 */
export async function coldStart(browser, blank, module) {
  const times = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const { page, close } = await open(browser, blank);
    times.push(
      await page.evaluate(async (module) => {
        const startedAt = performance.now();
        const half = await import(module);
        await half.default();
        half.setLogLevel('warn');
        return performance.now() - startedAt;
      }, module),
    );
    await close();
  }
  return Math.round(times.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] * 10) / 10;
}
