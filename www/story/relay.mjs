// The development relay as a child process that can be killed and started again under the same addresses.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** How long the relay may take to say that it is ready, in milliseconds. */
const READY_LIMIT_MS = 20_000;

export class Relay {
  /** Multiaddrs of the two ways to reach it. */
  addresses = { ws: '', webrtc: '' };
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #process;
  /** @type {string[]} The end of its log. */
  log = [];

  /**
   * @param {string} binary
   * @param {string} folder keeps its identity and certificate
   */
  constructor(binary, folder) {
    this.binary = binary;
    this.folder = folder;
  }

  /** @param {string} binary */
  static async create(binary) {
    const relay = new Relay(binary, await mkdtemp(join(tmpdir(), 'ocap-relay-')));
    try {
      await relay.start();
      return relay;
    } catch (error) {
      await relay.remove();
      throw error;
    }
  }

  /** Its process id, while it runs. */
  get pid() {
    return this.#process?.pid;
  }

  /** Starts it, again on the ports of the first time, and resolves when it is ready. */
  async start() {
    const { ws, webrtc } = this.addresses;
    const port = (/** @type {string} */ address) => /\/(?:tcp|udp)\/(\d+)/.exec(address)?.[1] ?? '0';
    const options = ['--ws-port', port(ws), '--webrtc-port', port(webrtc), '--state', this.folder, '--exit-with-stdin'];
    const host = process.env.OCAP_HOST;
    if (host) {
      options.push('--listen-ip', host);
    }
    // The log is for reports of failures: plain text, without what DTLS says of every connection.
    const env = { RUST_LOG: 'info,dtls=error', NO_COLOR: '1', ...process.env };
    const child = spawn(this.binary, options, { stdio: ['pipe', 'pipe', 'pipe'], env });
    this.#process = child;
    createInterface(child.stderr).on('line', (line) => {
      this.log.push(line);
      this.log.splice(0, this.log.length - 40);
    });
    const failed = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`the relay ended (${signal ?? code}) before it was ready:\n${this.log.join('\n')}`);
    });
    const ready = once(createInterface(child.stdout), 'line', { signal: AbortSignal.timeout(READY_LIMIT_MS) });
    const [line] = await Promise.race([ready, failed]);
    failed.catch(() => {}); // from now on it is expected to end
    const { addresses } = JSON.parse(line);
    const find = (/** @type {string} */ part) => addresses.find((/** @type {string} */ a) => a.includes(part));
    const announced = { ws: find('/ws'), webrtc: find('/webrtc-direct') };
    if (ws && (announced.ws !== ws || announced.webrtc !== webrtc)) {
      throw new Error(`the relay came back under other addresses: ${addresses}`);
    }
    this.addresses = announced;
  }

  /** Kills it without a warning. */
  async kill() {
    const child = this.#process;
    this.#process = undefined;
    if (child && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
  }

  async remove() {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
