// Measures both libraries over one way to the echo peer.

import * as ours from './ours.mjs';
import * as theirs from './theirs.mjs';

const LIBRARIES = { ours, theirs };

/** Bytes, round trips one after the other, messages for the throughput, and how many of those are in flight. */
const SIZES = [
  { bytes: 256, trips: 200, messages: 2_000, window: 64 },
  { bytes: 1_024, trips: 200, messages: 2_000, window: 64 },
  { bytes: 64 * 1_024, trips: 60, messages: 200, window: 16 },
  { bytes: 1_024 * 1_024, trips: 12, messages: 24, window: 2 },
];

/** A connection on which messages come back. */
class Echo {
  #waiting = [];
  #channel;

  static async open(library, peerId, address) {
    const echo = new Echo();
    echo.#channel = await LIBRARIES[library].connect(peerId, address, (text) => {
      const next = echo.#waiting.shift();
      if (next === undefined || text.length !== next.length) {
        throw new Error(`an echo of ${text.length} characters was not expected`);
      }
      next.back();
    });
    return echo;
  }

  /** Resolves when the text has come back. */
  async trip(text) {
    const back = new Promise((resolve) => this.#waiting.push({ length: text.length, back: resolve }));
    await Promise.all([this.#channel.send(text), back]);
  }

  close() {
    return this.#channel.close();
  }
}

/** JSON of so many bytes. */
const message = (bytes) => JSON.stringify({ ack: 1, pad: '' }).replace('""', `"${'x'.repeat(bytes - 18)}"`);

async function measure(echo, { bytes, trips, messages, window }) {
  const text = message(bytes);
  const times = [];
  for (let trip = 0; trip < trips; trip += 1) {
    const begun = performance.now();
    await echo.trip(text);
    times.push(performance.now() - begun);
  }
  times.sort((one, other) => one - other);
  let left = messages;
  const begun = performance.now();
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      await echo.trip(text);
    }
  };
  await Promise.all(Array.from({ length: window }, worker));
  const seconds = (performance.now() - begun) / 1_000;
  const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
  return { bytes, p50: at(0.5), p99: at(0.99), perSecond: messages / seconds };
}

/** What one size may take. */
const LIMIT_MS = 60_000;

/** One round of a library over one way: figures by size; `null` for what did not come to an end. */
globalThis.round = async (library, peerId, address) => {
  const figures = [];
  for (const size of SIZES) {
    const echo = await Echo.open(library, peerId, address);
    const measured = measure(echo, { ...size, trips: 5, messages: 5 }).then(() => measure(echo, size));
    const late = new Promise((resolve) => setTimeout(resolve, LIMIT_MS, null));
    figures.push(await Promise.race([measured, late]).catch((error) => console.error(library, size.bytes, error) ?? null));
    await echo.close();
  }
  return figures;
};

// What the soak asks for, of our transport only.

/** Connections of WebRTC that were made and not closed. */
const open = new Set();
const Native = globalThis.RTCPeerConnection;
globalThis.RTCPeerConnection = class extends Native {
  constructor(...args) {
    super(...args);
    open.add(this);
  }

  close() {
    open.delete(this);
    super.close();
  }
};

/** So many times a new transport, a connection, a message there and back, and the end of all three. */
globalThis.cycles = async (peerId, address, count) => {
  let failed = 0;
  for (let cycle = 0; cycle < count; ) {
    const echo = await Echo.open('ours', peerId, address);
    try {
      await echo.trip(message(256));
      cycle += 1;
    } catch (error) {
      // The peer did not answer this time. A failed attempt must leave nothing behind either.
      if (error.name !== 'ConnectionLostError' || (failed += 1) > count / 10) {
        throw error;
      }
    }
    await echo.close();
  }
  return { open: open.size, failed, wasmBytes: ours.wasmBytes() };
};

/** So many messages of 1 MiB there and back, one after the other; each must come back as it was. */
globalThis.flow = async (peerId, address, count) => {
  const bytes = 1_024 * 1_024;
  const filler = message(bytes).slice(15);
  let came = (_) => {};
  const channel = await ours.connect(peerId, address, (text) => came(text));
  let [most, lost] = [0, 0];
  const begun = performance.now();
  for (let number = 1; number <= count; number += 1) {
    const text = `{"ack":${String(number).padStart(8, ' ')}${filler}`;
    for (let done = false; !done; ) {
      const back = new Promise((resolve) => {
        came = resolve;
        setTimeout(resolve, LIMIT_MS, '');
      });
      // A kernel writes again what was lost with a channel; so does this.
      const sent = await channel.send(text).then(() => true, (error) => {
        if (error.name !== 'ConnectionLostError') {
          throw error;
        }
        return false;
      });
      const answer = sent && (await back);
      done = answer === text;
      if (answer && !done) {
        throw new Error(`message ${number} came back as ${answer.slice(0, 20)}… with ${answer.length} characters`);
      }
      lost += done ? 0 : 1;
    }
    most = Math.max(most, ours.wasmBytes());
  }
  const seconds = (performance.now() - begun) / 1_000;
  await channel.close();
  return { seconds, most, lost, open: open.size };
};
