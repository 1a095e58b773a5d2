// What the benchmark and the soak of the network need: a relay, the echo peer, the built page, and a browser.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { serveBuilt } from '../../www/story/site.mjs';
import { CHROMIUM, CHROMIUM_FLAGS } from '../../www/story/stage.mjs';
import { within } from '../../www/story/within.mjs';

/** 2,000 connections and 1,000 long messages take some minutes. */
const ACT_LIMIT_MS = 1_800_000;

/**
 * Calls `act` with the page and the places where the echo peer is (`peerId`, `ws`, `webrtc`, `relayed`); ends all of it.
 *
 * @param {string} folder of the built page
 * @param {string} relayBinary
 * @param {string} echoBinary
 * @param {(page: import('playwright-core').Page, echo: Record<string, string>) => Promise<void>} act
 */
export async function onNetworkStage(folder, relayBinary, echoBinary, act) {
  const closers = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) {
      await closer();
    }
  };
  /** Starts a program that tells in its first line, as JSON, where it is. It ends with our end of its stdin. */
  const start = async (binary, ...args) => {
    const child = spawn(binary, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, RUST_LOG: 'error' } });
    closers.push(() => child.stdin.end());
    const [line] = await once(createInterface(child.stdout), 'line');
    return JSON.parse(line);
  };
  try {
    const relay = await start(relayBinary, '--exit-with-stdin');
    const echo = await start(echoBinary, relay.addresses.find((address) => address.includes('/ws')));
    const site = await serveBuilt(folder);
    closers.push(site.close);
    const browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [...CHROMIUM_FLAGS, '--js-flags=--expose-gc'],
    });
    closers.push(() => browser.close());
    const page = await browser.newPage();
    page.on('console', (message) => message.type() === 'error' && console.error(message.text()));
    page.on('pageerror', (error) => console.error(error));
    await page.goto(site.url);
    await page.waitForFunction(() => 'round' in globalThis);
    await within(act(page, echo), 'the end of the work', ACT_LIMIT_MS);
  } finally {
    await close();
  }
}
