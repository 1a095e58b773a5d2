// What may happen to frames between a kernel and its network, for the comparison: some vanish as if they had been written,
// and gaps are accepted as the incumbent accepts them.

/**
 * The incumbent's rule for one peer: a frame ahead of a gap is taken as if none were missing, and acknowledged with all before
 * it.
 */
class AcceptedGaps {
  #highest = 0;
  #missing = 0;

  /**
   * The frame as the kernel is to see it: without a gap.
   * @param {string} message
   */
  incoming(message) {
    return message.replace(/^\{"seq":(\d+)/, (_, text) => {
      const seq = Number(text);
      if (seq > this.#highest) {
        this.#missing += seq - this.#highest - 1;
        this.#highest = seq;
      }
      return `{"seq":${seq - this.#missing}`;
    });
  }

  /**
   * The kernel's frame with an acknowledgement that covers what is missing too.
   * @param {string} message
   */
  outgoing(message) {
    return message.replace(/^\{("seq":\d+,)?"ack":(\d+)/, (_, seq = '', ack) => `{${seq}"ack":${Number(ack) + this.#missing}`);
  }
}

/** @typedef {import('./tap.js').Meddler} Meddler */

/** @implements {Meddler} */
export class Meddling {
  /** @type {Map<string, AcceptedGaps>} By peer; none where gaps are not accepted. */
  #gaps = new Map();
  #acceptsGaps;
  #spared = 0;
  #toSwallow = 0;

  /** @param {boolean} acceptsGaps */
  constructor(acceptsGaps) {
    this.#acceptsGaps = acceptsGaps;
  }

  /**
   * Of the messages that the kernel writes from now on, some vanish.
   * @param {number} spared how many pass before
   * @param {number} count how many then vanish
   */
  swallow(spared, count) {
    this.#spared = spared;
    this.#toSwallow = count;
  }

  /** @param {import('./tap.js').FrameKind} frame */
  swallows(frame) {
    if (frame !== 'message' || this.#toSwallow === 0) {
      return false;
    }
    if (this.#spared > 0) {
      this.#spared -= 1;
      return false;
    }
    this.#toSwallow -= 1;
    return true;
  }

  /** @param {string} peer */
  #gapsOf(peer) {
    const gaps = this.#gaps.get(peer) ?? new AcceptedGaps();
    this.#gaps.set(peer, gaps);
    return gaps;
  }

  /**
   * @param {string} peer
   * @param {string} message
   */
  incoming(peer, message) {
    return this.#acceptsGaps ? this.#gapsOf(peer).incoming(message) : message;
  }

  /**
   * @param {string} peer
   * @param {string} message
   */
  outgoing(peer, message) {
    return this.#acceptsGaps ? this.#gapsOf(peer).outgoing(message) : message;
  }
}
