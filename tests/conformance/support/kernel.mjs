// Our kernel with its network, a process of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Inbox, within } from './wait.mjs';

const PROGRAM = process.env.OCAP_CONFORMANCE_KERNEL ?? 'target/debug/conformance-kernel';

/** Quick to notice and to come back, so that tests do not wait. */
const OPTIONS = {
  maxConnectionAttemptsPerMinute: 1_000,
  reconnectionBaseDelayMs: 20,
  reconnectionMaxDelayMs: 200,
  handshakeTimeoutMs: 2_000,
};

export class Kernel {
  #lines = new Inbox();
  #lastId = 0;

  /** @param {{ store: string, keySeed: string, options: object }} start */
  constructor(start) {
    this.startedWith = { ...start, options: { ...OPTIONS, ...start.options } };
  }

  async start() {
    this.#lines = new Inbox();
    const lines = this.#lines;
    this.process = spawn(PROGRAM, [JSON.stringify(this.startedWith)], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#exited = once(this.process, 'exit');
    this.process.on('error', (error) => lines.end(error));
    this.process.stdin.on('error', () => {}); // It may be killed while it is told something.
    createInterface({ input: this.process.stdout })
      .on('line', (line) => lines.put(JSON.parse(line)))
      .on('close', () => lines.end(new Error('the kernel has ended')));
    const { ready } = await lines.take('the kernel to start', (line) => 'ready' in line);
    Object.assign(this, ready);
    return this;
  }

  #exited;

  async kill() {
    if (this.process?.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGKILL');
      await within(this.#exited, 'the kernel to end');
    }
  }

  /** Kills the process and starts it on what its store holds. */
  async restart() {
    await this.kill();
    await this.start();
  }

  /** Kills the process and starts it under the same identity on an empty store. */
  async reincarnate() {
    await this.kill();
    await rm(this.startedWith.store);
    await this.start();
  }

  /** Calls the kernel; an error that it answers has its stable name. */
  async call(call, members = {}) {
    this.#lastId += 1;
    const id = this.#lastId;
    this.process.stdin.write(`${JSON.stringify({ id, call, ...members })}\n`);
    const { ok, error } = await this.#lines.take(`the answer to ${call}`, (line) => line.id === id);
    if (error !== undefined) {
      throw Object.assign(new Error(error.message), { name: error.name });
    }
    return ok;
  }

  /** The next event of a type. */
  async event(type) {
    return (await this.#lines.take(`the event ${type}`, ({ event }) => event?.type === type)).event;
  }

  /** Events of a type that nobody has taken yet. */
  events(type) {
    return this.#lines.waiting.flatMap(({ event }) => (event?.type === type ? [event] : []));
  }

  async send(target, body, slots = []) {
    return this.call('send', { target, body, slots });
  }

  async resolve(promise, body, { slots = [], rejected = false } = {}) {
    return this.call('resolve', { promise, rejected, body, slots });
  }

  /** What it knows of a peer. */
  async remote(peerId) {
    return (await this.call('remotes')).find((remote) => remote.peerId === peerId);
  }
}
