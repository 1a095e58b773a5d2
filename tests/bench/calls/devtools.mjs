// A browser's only page, as DevTools show it. Playwright is no help here: it is told of every frame of every WebSocket of its pages,
// for which browsers pay, and would be measured too.

import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';

const POLL_MS = 5;

export class Page {
  #socket;
  #session;
  #lastId = 0;
  #unanswered = new Map();
  /** @type {Error | undefined} */
  #ended;

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.#socket = socket;
    socket.on('message', (data) => this.#take(JSON.parse(String(data))));
    socket.on('close', () => this.#end(new Error('the browser has ended')));
    socket.on('error', (error) => this.#end(error));
  }

  /** @param {string} endpoint where the browser listens for DevTools */
  static async attach(endpoint) {
    const page = new Page(new WebSocket(endpoint));
    await new Promise((resolve, reject) => page.#socket.once('open', resolve).once('error', reject));
    for (;;) {
      const { targetInfos } = await page.#send('Target.getTargets', {});
      const target = targetInfos.find(({ type, url }) => type === 'page' && url.startsWith('http'));
      if (target) {
        const { sessionId } = await page.#send('Target.attachToTarget', { targetId: target.targetId, flatten: true });
        page.#session = sessionId;
        await page.#send('Runtime.enable', {});
        return page;
      }
      await sleep(POLL_MS);
    }
  }

  #send(method, params) {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        throw this.#ended;
      }
      this.#lastId += 1;
      this.#unanswered.set(this.#lastId, { resolve, reject });
      this.#socket.send(JSON.stringify({ id: this.#lastId, method, params, sessionId: this.#session }));
    });
  }

  #take({ id, result, error, method, params }) {
    const waiting = this.#unanswered.get(id);
    this.#unanswered.delete(id);
    error ? waiting?.reject(new Error(error.message)) : waiting?.resolve(result);
    if (method === 'Runtime.exceptionThrown') {
      console.error(`page: ${params.exceptionDetails.exception?.description ?? params.exceptionDetails.text}`);
    } else if (method === 'Runtime.consoleAPICalled' && ['error', 'warning'].includes(params.type)) {
      console.error(`page: ${params.args.map(({ value, description }) => value ?? description).join(' ')}`);
    }
  }

  #end(error) {
    this.#ended = error;
    this.#unanswered.forEach(({ reject }) => reject(error));
    this.#unanswered.clear();
  }

  /** What a function of the page gives, which is called with these arguments; all of it is JSON. */
  async evaluate(of, ...args) {
    const expression = `(${of})(...${JSON.stringify(args)})`;
    const { result, exceptionDetails } = await this.#send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value;
  }

  /** Resolves when the page's scripts have run so far that `globalThis` has the member. */
  async has(member) {
    // A document that is just being replaced evaluates nothing.
    const look = () => this.evaluate((member) => globalThis[member] !== undefined, member).catch(() => this.#ended !== undefined);
    while (!(await look())) {
      await sleep(POLL_MS);
    }
  }

  /** Loads the page again, and resolves when the new one has the member of `globalThis`. */
  async reload(member) {
    await this.evaluate((member) => void (globalThis[member] = undefined), member);
    await this.#send('Page.reload', {});
    await this.has(member);
  }

  close() {
    this.#socket.terminate();
  }
}
