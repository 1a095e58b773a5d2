// One libp2p stream that carries length-prefixed JSON (protocol §2), and what the peer's messages must look like (§3, §4).

import assert from 'node:assert/strict';
import { lpStream } from '@libp2p/utils';
import { Inbox, LIMIT, sleep, within } from './wait.mjs';

/** Longest frame that is read; ours are never longer than 1 MiB, and a test looks for that. */
const MAX_FRAME = 2 * 1024 * 1024;

export class Channel {
  #frames;
  #frameInbox = new Inbox();
  #ended;

  constructor(stream) {
    this.stream = stream;
    this.#frames = lpStream(stream, { maxDataLength: MAX_FRAME, maxBufferSize: 4 * MAX_FRAME });
    this.#ended = this.#read();
  }

  /** The name under which the two ends agreed to speak. */
  get protocol() {
    return this.stream.protocol;
  }

  async #read() {
    for (;;) {
      let text;
      try {
        text = new TextDecoder('utf-8', { fatal: true }).decode((await this.#frames.read()).subarray());
      } catch (error) {
        this.#frameInbox.end(error);
        return error;
      }
      this.#frameInbox.put(text);
    }
  }

  /** Writes a message: a value, or the text of one. */
  async write(message) {
    const text = typeof message === 'string' ? message : JSON.stringify(message);
    await this.#frames.write(new TextEncoder().encode(text));
  }

  /** Writes bytes as they are, without a length. */
  async writeBytes(bytes) {
    if (!this.stream.send(bytes)) {
      await this.stream.onDrain();
    }
  }

  /** The next message, as text. */
  async readText(what = 'a message') {
    return this.#frameInbox.take(what);
  }

  /** The next message, which must be of a form that an incumbent understands. */
  async read(what) {
    const text = await this.readText(what);
    const message = JSON.parse(text);
    assert.equal(JSON.stringify(message), text, 'JSON without white space, as JSON.stringify writes it');
    ('seq' in message || 'ack' in message ? checkMessage : checkHandshake)(message, text);
    return message;
  }

  /** Resolves, with what reading met, when the other end has closed or reset the stream, or the connection is lost. */
  async ended(limit = LIMIT) {
    return within(this.#ended, 'the end of the channel', limit);
  }

  /** Fails if anything comes within so many milliseconds. */
  async staysQuiet(ms) {
    await sleep(ms);
    assert.deepEqual(this.#frameInbox.waiting, []);
  }

  async close() {
    await this.stream.close();
  }

  /** Resets the stream, as a crash of the other end's stack would. */
  reset() {
    this.stream.abort(new Error('reset by the test'));
  }
}

const isSeq = (value) => Number.isSafeInteger(value) && value >= 1;

function checkHandshake(message, text) {
  assert.ok(message.method === 'handshake' || message.method === 'handshakeAck', `an incumbent does not know ${text}`);
  assert.deepEqual(Object.keys(message), ['method', 'params']);
  assert.equal(typeof message.params.incarnationId, 'string');
}

/** `start`, `epoch`, `retired` and `retires` are members that incumbents do not know (§11); without them the message must be one of theirs. */
function checkMessage(message, text) {
  const { start, epoch, shared, retired, retires, ...known } = message;
  assert.ok(start === undefined || isSeq(start), text);
  assert.ok(epoch === undefined || (isSeq(epoch) && start !== undefined), text);
  assert.ok(shared === undefined, `this peer has told no epoch that could be shared: ${text}`);
  assert.ok(retired === undefined, `this peer has retired nothing that could be forgotten: ${text}`);
  assert.ok(retires === undefined || (retires === true && message.params?.[0] === 'notify'), text);
  const members = Object.keys(known);
  if (!('seq' in known)) {
    assert.deepEqual(members, ['ack'], text);
    assert.ok(known.ack === 0 || isSeq(known.ack), text);
    return;
  }
  const expected = 'ack' in known ? ['seq', 'ack', 'method', 'params'] : ['seq', 'method', 'params'];
  assert.deepEqual(members, expected, text);
  assert.ok(isSeq(known.seq) && (known.ack === undefined || isSeq(known.ack)), text);
  assert.ok(Array.isArray(known.params), text);
}
