// The example program that a kernel of this page serves: one object, the greeter, and a record of everything that happened.

/** Entries that each record keeps, unless told otherwise; the oldest go first. */
const RECORD_LIMIT = 10_000;

/**
 * A message that the greeter received.
 * @typedef {{ method: string, value: unknown, at: number }} Received `at` is in milliseconds since 1970.
 *
 * How a message that was sent ended.
 * @typedef {{ promise: string, method: string, value: unknown, rejected: boolean, answer: unknown }} Outcome
 *
 * What is told to the page as it happens.
 * @typedef {{ type: 'sent', method: string, value: unknown }
 *   | ({ type: 'received' } & Received)
 *   | ({ type: 'outcome' } & Outcome)
 *   | { type: 'remote', event: RemoteEvent }} News
 *
 * @typedef {import('ocap-remotes/kernel').KernelEvent} KernelEvent
 * @typedef {Exclude<KernelEvent, { type: 'message' | 'notify' | 'retired' }>} RemoteEvent
 */

/** @param {unknown} value plain data */
const marshal = (value) => `#${JSON.stringify(value)}`;
/** @param {string} body */
const unmarshal = (body) => JSON.parse(body.slice(1));

export class Program {
  /** @type {Received[]} */
  received = [];
  /** @type {Outcome[]} */
  outcomes = [];
  /** @type {RemoteEvent[]} */
  events = [];
  /** The one object that the program exports. */
  greeter = '';

  /** @type {Map<string, { method: string, value: unknown }>} What was sent, by the promise of its result. */
  #unanswered = new Map();
  #tell;
  /** @type {import('ocap-remotes/kernel').Kernel | undefined} */
  #kernel;

  #recordLimit;

  /**
   * @param {(news: News) => void} tell
   * @param {number} [recordLimit] entries that each record keeps
   */
  constructor(tell, recordLimit = RECORD_LIMIT) {
    this.#tell = tell;
    this.#recordLimit = recordLimit;
  }

  /**
   * @template T
   * @param {T[]} list
   * @param {T} entry
   */
  #keep(list, entry) {
    list.push(entry);
    if (list.length > this.#recordLimit) {
      list.shift();
    }
  }

  /**
   * @param {import('ocap-remotes/kernel').Kernel} kernel
   * @param {string} [greeter] the greeter of a former start on the same store, so that its URLs keep their meaning
   */
  serve(kernel, greeter) {
    this.#kernel = kernel;
    this.greeter = greeter ?? kernel.exportObject();
  }

  get kernel() {
    if (!this.#kernel) {
      throw new Error('the kernel is not running yet');
    }
    return this.#kernel;
  }

  url() {
    return this.kernel.issueOcapURL(this.greeter);
  }

  /**
   * @param {string} target
   * @param {string} method
   * @param {unknown} value
   * @returns {string} the promise of the result
   */
  send(target, method, value) {
    const promise = method === 'relay'
      ? this.kernel.send(target, marshal([method, [value, '$0']]), [this.greeter])
      : this.kernel.send(target, marshal([method, [value]]));
    this.#unanswered.set(promise, { method, value });
    this.#tell({ type: 'sent', method, value });
    return promise;
  }

  /**
   * Sends `count` with each number, in order, as soon as there is room for it.
   * @param {string} target
   * @param {number} from
   * @param {number} to included
   * @param {number} [everyMs] pause between two; without it they are sent as fast as they go
   */
  async sendNumbers(target, from, to, everyMs) {
    for (let number = from; number <= to; number += 1) {
      await this.kernel.ready(target);
      this.send(target, 'count', number);
      if (everyMs !== undefined) {
        await new Promise((resolve) => setTimeout(resolve, everyMs));
      }
    }
  }

  /** @param {KernelEvent} event */
  handle(event) {
    switch (event.type) {
      case 'message':
        this.#receive(event);
        break;
      case 'notify':
        this.#settled(event);
        break;
      case 'retired':
        break;
      default:
        this.#keep(this.events, event);
        this.#tell({ type: 'remote', event });
    }
  }

  /** @param {Extract<KernelEvent, { type: 'message' }>} message */
  #receive({ body, slots, result }) {
    const [method, [value]] = unmarshal(body);
    const received = { method, value, at: Date.now() };
    this.#keep(this.received, received);
    this.#tell({ type: 'received', ...received });
    if (method === 'relay' && slots.length > 0) {
      // In the commit of the message itself: this program needs no memory to know whom it still owes what.
      // The object is kept: to let it go with each message would cost two more.
      this.send(slots[0], 'count', value);
    } else {
      this.#releaseGiven(slots);
    }
    if (!result) {
      return;
    }
    switch (method) {
      case 'echo':
      case 'count':
      case 'relay':
        this.kernel.resolve(result, marshal(value));
        break;
      case 'hold':
        break; // never answered, so that its sender can see what becomes of the promise
      default:
        this.kernel.reject(result, marshal({ '#error': `the greeter has no method ${method}`, name: 'TypeError' }));
    }
  }

  /** @param {Extract<KernelEvent, { type: 'notify' }>} notify */
  #settled({ promise, rejected, body, slots }) {
    this.#releaseGiven(slots);
    const sent = this.#unanswered.get(promise);
    if (!sent) {
      return;
    }
    this.#unanswered.delete(promise);
    const outcome = { promise, ...sent, rejected, answer: unmarshal(body) };
    this.#keep(this.outcomes, outcome);
    this.#tell({ type: 'outcome', ...outcome });
  }

  /**
   * The greeter deals in plain data: objects that come along are let go again.
   * @param {string[]} slots
   */
  #releaseGiven(slots) {
    const given = slots.filter((slot) => slot !== this.greeter);
    if (given.length > 0) {
      this.kernel.release(given);
    }
  }
}
