// Two kernels written in JavaScript, one in a window and one in a Worker, with our remotes and our transport in them: through the
// relay they exchange every kind of delivery, and survive restarts and a loss.

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onStage } from '../../www/story/stage.mjs';
import { equal } from '../../www/story/tally.mjs';

const FOLDERS = {
  pkg: fileURLToPath(new URL('../../pkg', import.meta.url)),
  kernels: fileURLToPath(new URL('javascript-kernels', import.meta.url)),
};
const TYPES = { '.mjs': 'text/javascript', '.js': 'text/javascript', '.wasm': 'application/wasm' };
/** Workers have no import maps, so the names are replaced on the way. */
const names = (source) => source.replaceAll(/from 'ocap-remotes\/(remotes|network)'/g, `from '/pkg/$1/$1.js'`);

const OPTIONS = {
  ackTimeoutMs: 1_000,
  maxRetransmissions: 3,
  giveUpAfterMs: 4_000,
  reconnectionBaseDelayMs: 50,
  reconnectionMaxDelayMs: 300,
  maxConnectionAttemptsPerMinute: 1_000,
};

async function serve() {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, 'http://localhost').pathname);
    const [, root, ...rest] = path.split('/');
    try {
      const body = FOLDERS[root] ? await readFile(join(FOLDERS[root], ...rest)) : '<!doctype html><title>kernels</title>';
      const type = TYPES[extname(path)] ?? 'text/html';
      response.writeHead(200, { 'content-type': type }).end(root === 'kernels' ? names(String(body)) : body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

/** A page with a kernel, in its window or in a Worker. */
class Page {
  constructor(page, place, relay) {
    Object.assign(this, { page, place, relay, keySeed: randomBytes(32).toString('hex') });
  }

  static async open(stage, address, place) {
    const page = await (await stage.browser.newContext()).newPage();
    page.on('console', (line) => line.type() === 'error' && console.error(`        ${place}: ${line.text()}`));
    await page.goto(address);
    await page.evaluate(async (place) => {
      if (place === 'window') {
        const { call } = await import('/kernels/context.mjs');
        globalThis.callKernel = (method, ...args) => call(method, args);
        return;
      }
      const worker = new Worker('/kernels/context.mjs', { type: 'module' });
      const waiting = new Map();
      await new Promise((resolve, reject) => {
        worker.onerror = (event) => reject(new Error(event.message));
        worker.onmessage = ({ data: [id, answer, error] }) => {
          if (id === 'ready') {
            resolve();
          } else {
            const { resolve, reject } = waiting.get(id);
            error === undefined ? resolve(answer) : reject(new Error(error));
          }
        };
      });
      let last = 0;
      globalThis.callKernel = (...call) =>
        new Promise((resolve, reject) => {
          last += 1;
          waiting.set(last, { resolve, reject });
          worker.postMessage([last, ...call]);
        });
    }, place);
    return new Page(page, place, stage.relay.addresses[place === 'window' ? 'webrtc' : 'ws']);
  }

  call(...call) {
    return this.page.evaluate((call) => globalThis.callKernel(...call), call);
  }

  /** Starts the kernel: on `disk`, or as a new incarnation of the same peer. */
  start(disk, options = {}) {
    const all = { ...OPTIONS, relays: [this.relay], ...options };
    return this.call('start', { keySeed: this.keySeed, ownStore: this.place === 'worker', disk, options: all });
  }
}

const bodies = ({ messages }) => messages.map(({ body }) => body);

export const twoKernelsInJavaScript = () =>
  onStage(async (stage) => {
    const site = await serve();
    stage.atEnd(async () => site.close());
    const alice = await Page.open(stage, site.address, 'window');
    const bob = await Page.open(stage, site.address, 'worker');
    const { peerId: peerIdOfAlice } = await alice.start();
    const first = await bob.start();
    const until = (what, page, probe, seconds = 30) =>
      stage.waitFor(`${page.place}: ${what}`, seconds, async () => probe(await page.call('seen')));
    for (const page of [alice, bob]) {
      await stage.waitFor('a relay to serve', 30, async () => (await page.call('listening')).length > 0);
    }

    // Every kind of command.
    const ofBob = await bob.call('exportObject');
    const ofAlice = await alice.call('exportObject');
    const urlOfBob = await bob.call('issue', ofBob);
    const urlOfAlice = await alice.call('issue', ofAlice);
    const atAlice = await alice.call('redeem', urlOfBob);
    const asked = await alice.call('send', atAlice, 'hello', [ofAlice]);
    await until('the answer', alice, ({ outcomes }) => outcomes.length === 1);
    equal((await alice.call('seen')).outcomes, [{ promise: asked, rejected: false, body: '#"hello?"' }], 'the answer');
    const [{ target, slots }] = (await bob.call('seen')).messages;
    equal(target, ofBob, 'the object that was sent to');
    await bob.call('send', slots[0], 'back');
    await until('the message back', alice, (seen) => bodies(seen).includes('back'));
    await bob.call('release', slots[0]);
    await until('what bob dropped', bob, ({ written }) => written.includes('retireExports'));
    await bob.call('reap');
    await until('the reap', bob, ({ written }) => written.includes('bringOutYourDead'));
    await alice.call('drop', atAlice);
    await until('what alice dropped', alice, ({ written }) => written.includes('dropExports'));
    await stage.waitFor('the drop to arrive', 30, async () => !(await bob.call('isReachedBy', peerIdOfAlice, ofBob)));
    await bob.call('abandon', ofBob);
    await until('what bob abandoned', bob, ({ written }) => written.includes('retireImports'));
    await stage.waitFor('the object to go', 30, async () => (await alice.call('owner', atAlice)) === null);
    const kinds = new Set([...(await alice.call('seen')).written, ...(await bob.call('seen')).written]);
    const EVERY = ['message', 'notify', 'dropExports', 'retireExports', 'retireImports', 'bringOutYourDead', 'redeemURL',
      'redeemURLReply'];
    equal(EVERY.filter((kind) => !kinds.has(kind)), [], 'what was never written');

    // A restart with the same store: what was sent meanwhile arrives, once.
    const second = await bob.call('exportObject');
    const urlOfSecond = await bob.call('issue', second);
    const toSecond = await alice.call('redeem', urlOfSecond);
    const disk = await bob.call('stop');
    await alice.call('send', toSecond, 'while you were away');
    const again = await bob.start(disk);
    equal(again, first, 'who bob is after a restart with his store');
    await until('what was sent meanwhile', bob, (seen) => bodies(seen).length > 0);
    await until('its answer', alice, ({ outcomes }) => outcomes.length === 2);
    equal(bodies(await bob.call('seen')), ['while you were away'], 'what arrived after the restart');

    // A restart without it: nothing of before arrives, and nobody waits for ever.
    await bob.call('setAnswers', false);
    await alice.call('send', toSecond, 'never answered');
    await until('the message without an answer', bob, (seen) => bodies(seen).includes('never answered'));
    await bob.call('stop');
    await alice.call('send', toSecond, 'stale');
    const fresh = await bob.start();
    equal(fresh.peerId, first.peerId, 'the peer id');
    equal(fresh.incarnationId === first.incarnationId, false, 'whether it is the same incarnation');
    const againAtBob = await bob.call('redeem', urlOfAlice);
    await until('what became of both', alice, ({ outcomes }) => outcomes.length === 4);
    const { outcomes, log } = await alice.call('seen');
    for (const { rejected, body } of outcomes.slice(2)) {
      equal(rejected && body.includes('[KERNEL:PEER_RESTARTED]'), true, `whether ${body} says that the peer restarted`);
    }
    equal(log.some((line) => line.includes('restarted')), true, 'whether the logger was told');
    await bob.call('send', againAtBob, 'fresh');
    await until('a fresh message', alice, (seen) => bodies(seen).includes('fresh'));
    equal(bodies(await bob.call('seen')), [], 'what of before reached the new incarnation');

    // A loss.
    const third = await bob.call('exportObject');
    const toThird = await alice.call('redeem', await bob.call('issue', third));
    await bob.call('stop');
    await alice.call('send', toThird, 'lost');
    const { peerId } = fresh;
    const redeemed = alice.call('redeemAt', peerId, urlOfSecond);
    await until('the loss', alice, ({ outcomes }) => outcomes.length === 5, 60);
    const lost = (await alice.call('seen')).outcomes[4];
    equal(lost.rejected && lost.body.includes('[KERNEL:CONNECTION_LOST]'), true, `whether ${lost.body} says so`);
    equal(/^(ConnectionLostError|RedemptionTimeoutError): /.test(await redeemed), true, `whether ${await redeemed} says so`);
    await alice.call('stop');
    stage.checkHealth();
  });
