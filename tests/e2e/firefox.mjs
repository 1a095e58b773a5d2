// The extension in Firefox, whose event page hosts network and kernel: it talks with a page in Chromium, is killed, and comes back.
// Firefox is driven by WebDriver BiDi, which it speaks itself.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { WebSocket } from 'ws';
import { onStage } from '../../www/story/stage.mjs';
import { settled } from '../../www/story/story.mjs';
import { Tab } from '../../www/story/tab.mjs';
import { equal, numbers } from '../../www/story/tally.mjs';
import { killGroup, temporaryProfile } from './browser-process.mjs';

const BINARY = process.env.FIREFOX_BIN ?? '/usr/bin/firefox-esr';
const EXTENSION = join(process.env.OCAP_WWW_DIST ?? '', 'extension-firefox');
/** Firefox gives each extension an address at random; a test has to know it. */
const HOST = '6f63a470-0000-4000-8000-000000000001';
const LAUNCH_LIMIT_MS = 60_000;
/** Firefox takes seconds to come back, in which the page uses up the attempts of a minute. */
const OPTIONS = JSON.stringify({ maxConnectionAttemptsPerMinute: 10_000 });
const BEFORE = numbers(1, 50);
const AFTER = numbers(51, 100);

/** An unpacked extension is removed when Firefox ends. Its data stay, as those of an installed one do. */
const PREFERENCES = {
  'extensions.webextensions.uuids': JSON.stringify({ 'wallet@ocap-remotes.example': HOST }),
  'extensions.webextensions.keepStorageOnUninstall': true,
  'extensions.webextensions.keepUuidOnUninstall': true,
};

export const hasFirefox = existsSync(BINARY);

/** One Firefox, and in it the popup as a tab. What a `Tab` needs of a page is here. */
class Firefox {
  #process;
  #socket;
  #context = '';
  /** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
  #commands = new Map();
  #last = 0;

  /**
   * @param {import('node:child_process').ChildProcess} process the leader of a group of its own
   * @param {WebSocket} socket
   */
  constructor(process, socket) {
    this.#process = process;
    this.#socket = socket;
    socket.on('message', (text) => {
      const { id, type, result, error, message } = JSON.parse(String(text));
      const command = this.#commands.get(id);
      this.#commands.delete(id);
      if (type === 'error') {
        command?.reject(new Error(`${error}: ${message}`));
      } else {
        command?.resolve(result);
      }
    });
  }

  /** @param {string} profile */
  static async launch(profile) {
    const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});`);
    await writeFile(join(profile, 'user.js'), lines.join('\n'));
    // Pages of extensions count as parts of the browser.
    const flags = ['--headless', '--no-remote', '--remote-debugging-port=0', '--remote-allow-system-access'];
    const child = spawn(BINARY, [...flags, '--profile', profile], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
      env: { ...process.env, HOME: profile },
    });
    try {
      const socket = new WebSocket(`${await endpoint(child)}/session`);
      await once(socket, 'open');
      const firefox = new Firefox(child, socket);
      await firefox.#command('session.new', { capabilities: {} });
      await firefox.#command('webExtension.install', { extensionData: { type: 'path', path: EXTENSION } });
      const { context } = await firefox.#command('browsingContext.create', { type: 'tab' });
      firefox.#context = context;
      const url = `moz-extension://${HOST}/popup.html`;
      await firefox.#command('browsingContext.navigate', { context, url, wait: 'complete' });
      return firefox;
    } catch (error) {
      await killGroup(child);
      throw error;
    }
  }

  /**
   * @param {string} method
   * @param {object} params
   * @returns {Promise<any>}
   */
  #command(method, params) {
    return new Promise((resolve, reject) => {
      this.#last += 1;
      this.#commands.set(this.#last, { resolve, reject });
      this.#socket.send(JSON.stringify({ id: this.#last, method, params }));
    });
  }

  /** Its console is not listened to. */
  on() {}

  isClosed() {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /**
   * @param {(argument: any) => unknown} work
   * @param {unknown} argument
   */
  async evaluate(work, argument) {
    const expression = `Promise.resolve((${work})(${JSON.stringify(argument)})).then((value) => JSON.stringify({ value }))`;
    const { result, exceptionDetails } = await this.#command('script.evaluate', {
      expression,
      target: { context: this.#context },
      awaitPromise: true,
    });
    if (exceptionDetails) {
      throw new Error(exceptionDetails.text);
    }
    return JSON.parse(result.value).value;
  }

  async kill() {
    this.#socket.terminate();
    await killGroup(this.#process);
  }
}

/** @param {import('node:child_process').ChildProcess} child */
async function endpoint(child) {
  if (!child.stderr) {
    throw new Error('Firefox has no stderr');
  }
  for await (const line of createInterface({ input: child.stderr, signal: AbortSignal.timeout(LAUNCH_LIMIT_MS) })) {
    const found = /WebDriver BiDi listening on (ws:\S+)/.exec(line);
    if (found) {
      child.stderr.resume();
      return found[1];
    }
  }
  throw new Error('Firefox does not listen for WebDriver BiDi');
}

export const theExtensionInFirefox = () =>
  onStage(async (stage) => {
    const profile = await temporaryProfile(stage);
    /** @type {Firefox | undefined} */
    let firefox;
    stage.atEnd(async () => firefox?.kill());
    const open = async () => {
      firefox = await Firefox.launch(profile);
      const tab = new Tab('firefox', /** @type {any} */ (firefox));
      stage.tabs.push(tab);
      await stage.untilRunning(tab);
      return tab;
    };
    const page = await stage.openTab('page', 'window', undefined, { options: OPTIONS });
    const wallet = await open();
    await wallet.call('saveSettings', { relays: [stage.relay.addresses.ws], options: {} });
    await stage.untilRunning(wallet);
    const { peerId, incarnationId } = await wallet.call('state');
    const toWallet = await page.call('redeem', await wallet.call('url'));
    const toPage = await wallet.call('redeem', await page.call('url'));
    await page.call('sendNumbers', toWallet, BEFORE[0], BEFORE.at(-1));
    await wallet.call('sendNumbers', toPage, BEFORE[0], BEFORE.at(-1));
    await Promise.all([settled(stage, page, wallet, BEFORE, 60), settled(stage, wallet, page, BEFORE, 60)]);

    stage.dismiss(wallet);
    await firefox?.kill();
    await page.call('sendNumbers', toWallet, AFTER[0], AFTER.at(-1));
    const again = await open();
    const reopened = await again.call('state');
    equal([reopened.peerId, reopened.incarnationId], [peerId, incarnationId], 'who the wallet is after a kill');
    await settled(stage, page, again, AFTER, 60);
    equal(await again.numbers(), AFTER, 'what the wallet received since it was opened again');
    equal(await page.call('events'), [], 'what the page was told of its peer');
    stage.checkHealth();
  });
