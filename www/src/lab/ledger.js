// What was sent and what became of it, as the programs at both ends tell. It judges the guarantee by itself: nothing here
// asks a kernel for its own counters.

/**
 * @typedef {object} Entry a message whose fate is not yet known
 * @property {boolean} delivered its receiver's program took it, or answered
 * @property {boolean} received its receiver's program told that it took it, which one in another page does not
 * @property {boolean} settled its sender's program was told what became of it
 * @property {boolean} reported its sender's program was told that it may not have been delivered
 * @property {boolean} untold its receiver's Worker ended, and may have taken it before it could tell: only an answer shows that
 * @property {number | undefined} overtakenAt when a later one was delivered
 *
 * @typedef {object} Tally
 * @property {number} sent
 * @property {number} delivered
 * @property {number} reported not delivered, and the sender was told
 * @property {number} waiting on its way
 * @property {number} gone on its way when its sender's life ended, so that nobody is left to be told
 * @property {number} lost neither delivered nor reported, although a later one was delivered
 * @property {number} doubled
 * @property {number} outOfOrder
 * @property {number} stale delivered to another life than the one that it was sent to
 */

/** How long after a later message was delivered, or answered, a report may come, in milliseconds. */
const REPORT_LIMIT_MS = 5_000;

/** The messages from one life of a kernel to one life of another. */
export class Book {
  sent = 0;
  delivered = 0;
  reported = 0;
  doubled = 0;
  outOfOrder = 0;
  stale = 0;
  /** The number of the next message. */
  next = 1;
  /** @type {Map<number, Entry>} By number, of which only those are kept whose fate is open. */
  open = new Map();
  /** When something was last written in it, in milliseconds since 1970. */
  touchedAt = Date.now();
  #isSenderGone = false;
  #registered = 0;
  #highestReceived = 0;

  /**
   * @param {number} id
   * @param {{ from: string, to: string, toIncarnation: string | undefined, isComparison: boolean }} direction names of the
   *   kernels; the life that is written to, if it is in this page; whether it is left out of the sum of all
   */
  constructor(id, direction) {
    this.id = id;
    this.direction = direction;
  }

  /** The number of the last message that was sent. */
  get lastSent() {
    return this.#registered;
  }

  /** @param {number} n */
  markSent(n) {
    // A sender that was killed had no time to tell of the last ones, which arrive all the same.
    if (n > this.#registered) {
      this.#registered = n;
      this.next = Math.max(this.next, n + 1);
      this.sent += 1;
      this.open.set(n, { delivered: false, received: false, settled: false, reported: false, untold: false, overtakenAt: undefined });
    }
  }

  /**
   * @param {number} n
   * @param {string | undefined} incarnation the life that took it, if it is in this page
   */
  markReceived(n, incarnation) {
    this.touchedAt = Date.now();
    const { toIncarnation } = this.direction;
    if (incarnation !== undefined && toIncarnation !== undefined && incarnation !== toIncarnation) {
      this.stale += 1;
      return;
    }
    this.markSent(n);
    const entry = this.open.get(n);
    if (!entry || entry.received) {
      this.doubled += 1;
      return;
    }
    entry.received = true;
    // Not judged by answers: that of one whose receiver was killed before it could tell comes after later ones were taken.
    this.outOfOrder += n < this.#highestReceived ? 1 : 0;
    this.#highestReceived = Math.max(this.#highestReceived, n);
    this.#deliver(entry);
    this.#overtake(n);
    this.#closeIfOver(n, entry);
  }

  /**
   * @param {number} n
   * @param {Entry} entry
   */
  #closeIfOver(n, { received, settled, delivered }) {
    const isToBeReceived = this.direction.toIncarnation !== undefined;
    if (settled && (received || (delivered && !isToBeReceived))) {
      this.open.delete(n);
    }
  }

  /** @param {Entry} entry */
  #deliver(entry) {
    if (entry.delivered) {
      return;
    }
    entry.delivered = true;
    this.delivered += 1;
    if (entry.reported) {
      this.reported -= 1; // a report says that it may not have been delivered
    }
  }

  /**
   * What was sent before `n` had its turn.
   * @param {number} n
   * @param {{ answered?: boolean }} [how] answers come in the order of their messages
   */
  #overtake(n, { answered = false } = {}) {
    for (const [other, entry] of this.open) {
      if (other >= n) {
        break;
      }
      if (!entry.delivered && (answered || !entry.untold)) {
        entry.overtakenAt ??= Date.now();
      }
    }
  }

  /**
   * The sender's program learnt what became of it.
   * @param {number} n
   * @param {boolean} rejected
   */
  markSettled(n, rejected) {
    this.touchedAt = Date.now();
    const entry = this.open.get(n);
    if (!entry) {
      return;
    }
    entry.settled = true;
    if (!rejected) {
      this.#deliver(entry);
      this.#overtake(n, { answered: true });
    } else {
      entry.reported = true;
      this.reported += entry.delivered ? 0 : 1;
    }
    this.#closeIfOver(n, entry);
  }

  /** The sender's life is over: nobody is left to be told. What is on its way may still be delivered. */
  endOfSender() {
    this.#isSenderGone = true;
    this.touchedAt = Date.now();
  }

  /** The receiver's Worker is gone: of what it took it will tell nothing more. */
  endOfReceiver() {
    for (const [n, entry] of this.open) {
      if (entry.settled) {
        this.open.delete(n);
      } else {
        entry.untold = true;
      }
    }
  }

  /** @returns {Tally} */
  tally() {
    let waiting = 0;
    let gone = 0;
    let lost = 0;
    for (const { delivered, reported, overtakenAt } of this.open.values()) {
      if (!delivered && !reported) {
        if (this.#isSenderGone) {
          gone += 1;
        } else if (overtakenAt !== undefined && Date.now() - overtakenAt > REPORT_LIMIT_MS) {
          lost += 1;
        } else {
          waiting += 1;
        }
      }
    }
    const { sent, delivered, reported, doubled, outOfOrder, stale } = this;
    return { sent, delivered, reported, waiting, gone, lost, doubled, outOfOrder, stale };
  }
}

/** @returns {Tally} */
const nothing = () => ({ sent: 0, delivered: 0, reported: 0, waiting: 0, gone: 0, lost: 0, doubled: 0, outOfOrder: 0, stale: 0 });

/**
 * @param {Tally} sum
 * @param {Tally} more
 * @param {1 | -1} [sign]
 */
export function add(sum, more, sign = 1) {
  const result = { ...sum };
  for (const key of /** @type {(keyof Tally)[]} */ (Object.keys(result))) {
    result[key] += sign * more[key];
  }
  return result;
}

export class Ledger {
  /** What makes messages of this page known from those of others. */
  page = crypto.getRandomValues(new Uint32Array(2)).join('-');
  /** @type {Map<number, Book>} */
  #books = new Map();
  #last = 0;
  /** Books that were closed. */
  #closed = nothing();

  /** @param {Book['direction']} direction */
  open(direction) {
    this.#last += 1;
    const book = new Book(this.#last, direction);
    this.#books.set(book.id, book);
    return book;
  }

  /** @param {Book} book nothing is to be written in it any more */
  close(book) {
    if (this.#books.delete(book.id) && !book.direction.isComparison) {
      this.#closed = add(this.#closed, book.tally());
    }
  }

  /** @param {unknown} value what a program received or sent */
  find(value) {
    const marked = /** @type {Partial<import('./kernel-worker.js').Marked> | null} */ (value);
    if (typeof marked !== 'object' || marked?.page !== this.page || typeof marked.n !== 'number') {
      return undefined;
    }
    const book = this.#books.get(Number(marked.book));
    return book && { book, n: marked.n };
  }

  get books() {
    return [...this.#books.values()];
  }

  tally() {
    const counted = this.books.filter(({ direction }) => !direction.isComparison);
    return counted.reduce((sum, book) => add(sum, book.tally()), this.#closed);
  }
}
