// A line to a TCP port that is long and narrow: what passes is delayed, and so many bytes a second pass each way.

import { createServer, connect } from 'node:net';
import { once } from 'node:events';

/** What may be on its way in one direction of a connection; then its sender is not read. */
const QUEUE_BYTES = 256 * 1024;

/** One direction of a connection. */
class Direction {
  /** Chunks and when they arrive. */
  #queue = [];
  #queuedBytes = 0;
  /** When the line has taken all that came. */
  #freeAt = 0;
  #timer;
  #hasEnded = false;

  constructor(from, to, { delayMs, bytesPerSecond }) {
    this.from = from;
    this.to = to;
    from.on('data', (chunk) => {
      this.#freeAt = Math.max(performance.now(), this.#freeAt) + (1_000 * chunk.length) / bytesPerSecond;
      this.#queue.push({ chunk, at: this.#freeAt + delayMs });
      this.#queuedBytes += chunk.length;
      if (this.#queuedBytes > QUEUE_BYTES) {
        from.pause();
      }
      this.#wait();
    });
    from.on('end', () => {
      this.#hasEnded = true;
      this.#deliver();
    });
    // Without a farewell there is nothing to wait for.
    from.on('error', () => to.destroy());
    to.on('close', () => clearTimeout(this.#timer));
  }

  #wait() {
    const [next] = this.#queue;
    if (next && this.#timer === undefined && !this.to.destroyed) {
      this.#timer = setTimeout(() => this.#deliver(), Math.ceil(next.at - performance.now()));
    }
  }

  #deliver() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#queue.length > 0 && this.#queue[0].at <= performance.now()) {
      const { chunk } = this.#queue.shift();
      this.#queuedBytes -= chunk.length;
      this.to.write(chunk);
    }
    if (this.#queuedBytes <= QUEUE_BYTES) {
      this.from.resume();
    }
    if (this.#hasEnded && this.#queue.length === 0) {
      this.to.end();
    }
    this.#wait();
  }
}

/**
 * Opens one to a port of this machine.
 * @param {number} port
 * @param {{ delayMs: number, bytesPerSecond: number }} line what each direction of each connection is like
 */
export async function openSlowLine(port, line) {
  const sockets = new Set();
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const [one, other] of [[near, far], [far, near]]) {
      one.setNoDelay(true);
      sockets.add(one);
      one.on('close', () => sockets.delete(one));
      new Direction(one, other, line);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    /** How many connections there are. */
    connections: () => sockets.size / 2,
    async close() {
      sockets.forEach((socket) => socket.destroy());
      server.close();
    },
  };
}
