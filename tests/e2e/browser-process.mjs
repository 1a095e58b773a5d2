// A browser with a profile on disk, whose processes can be killed. Finds them in /proc, hence on Linux only.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { CHROMIUM, CHROMIUM_FLAGS } from '../../www/story/stage.mjs';

const LAUNCH_LIMIT_MS = 20_000;

/**
 * A folder for a profile, which goes with the stage. Only with one are files of an origin on the disk.
 * @param {import('../../www/story/stage.mjs').Stage} stage
 */
export async function temporaryProfile(stage) {
  const profile = await mkdtemp(join(tmpdir(), 'ocap-profile-'));
  stage.atEnd(() => rm(profile, { recursive: true, force: true, maxRetries: 10 }));
  return profile;
}

/**
 * A browser as people have it, which ends with the stage. Files of a context without a profile are in memory and have rules of
 * their own: each read and write of an origin's file is a call to the browser's process.
 * @param {import('../../www/story/stage.mjs').Stage} stage
 */
export async function withProfile(stage) {
  const context = await chromium.launchPersistentContext(await temporaryProfile(stage), {
    executablePath: CHROMIUM,
    args: CHROMIUM_FLAGS,
  });
  stage.atEnd(() => context.close());
  return context;
}

export class BrowserProcess {
  #process;
  #profile;

  /**
   * @param {import('node:child_process').ChildProcess} process the leader of a group of its own
   * @param {string} profile
   * @param {import('playwright-core').Browser} browser
   */
  constructor(process, profile, browser) {
    this.#process = process;
    this.#profile = profile;
    this.browser = browser;
  }

  /**
   * @param {string} profile a folder, which outlives the browser
   * @param {string[]} [more] flags
   */
  static async launch(profile, more = []) {
    const { child, endpoint } = await startChromium(profile, [...CHROMIUM_FLAGS, ...more], 'about:blank');
    try {
      return new BrowserProcess(child, profile, await chromium.connectOverCDP(endpoint));
    } catch (error) {
      await killGroup(child);
      throw error;
    }
  }

  /** The context of the profile. */
  get context() {
    return this.browser.contexts()[0];
  }

  /** Kills all of its processes at once; resolves when the browser is dead. */
  kill() {
    return killGroup(this.#process);
  }

  /** Kills the one renderer that has a file of the origin private file system open. */
  async killOwnerOfStore() {
    const session = await this.browser.newBrowserCDPSession();
    const { processInfo } = await session.send('SystemInfo.getProcessInfo');
    await session.detach();
    const renderers = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
    const owners = [];
    for (const pid of renderers) {
      if ((await openFiles(pid)).some((file) => file.startsWith(`${this.#profile}/`) && file.includes('/File System/'))) {
        owners.push(pid);
      }
    }
    if (owners.length !== 1) {
      throw new Error(`${owners.length} of ${renderers.length} renderers have the store open`);
    }
    process.kill(owners[0], 'SIGKILL');
  }
}

/**
 * Starts Chromium as the leader of a group of processes; gives it, and where it listens for DevTools.
 * @param {string} profile a folder, which outlives the browser
 * @param {string[]} flags
 * @param {string} url of its page
 */
export async function startChromium(profile, flags, url) {
  const own = ['--headless=new', '--remote-debugging-port=0', `--user-data-dir=${profile}`, '--no-default-browser-check'];
  const child = spawn(CHROMIUM, [...flags, ...own, url], { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  try {
    return { child, endpoint: await endpointOf(child) };
  } catch (error) {
    await killGroup(child);
    throw error;
  }
}

/** @param {import('node:child_process').ChildProcess} child */
async function endpointOf(child) {
  if (!child.stderr) {
    throw new Error('the browser has no stderr');
  }
  const signal = AbortSignal.timeout(LAUNCH_LIMIT_MS);
  for await (const line of createInterface({ input: child.stderr, signal })) {
    const found = /^DevTools listening on (ws:\S+)/.exec(line);
    if (found) {
      child.stderr.resume();
      return found[1];
    }
  }
  throw new Error('the browser does not listen for DevTools');
}

/** @param {import('node:child_process').ChildProcess} child the leader of a group of its own */
export async function killGroup(child) {
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit');
    process.kill(-child.pid, 'SIGKILL');
    await ended;
  }
}

/** @param {number} pid */
async function openFiles(pid) {
  const folder = `/proc/${pid}/fd`;
  const descriptors = await readdir(folder).catch(() => []);
  return Promise.all(descriptors.map((descriptor) => readlink(`${folder}/${descriptor}`).catch(() => '')));
}
