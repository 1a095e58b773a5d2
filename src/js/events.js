// Events as async iterables, for those who would rather loop than be called.

/** How many events wait for one reader. Beyond that the oldest go, and the reader is told how many. */
const WAITING_LIMIT = 1_000;

/** Hands every event to all who read. */
export class EventHub {
  /** @type {Set<EventStream>} */
  #streams = new Set();
  #ended = false;

  /** Whether anybody reads. */
  get isRead() {
    return this.#streams.size > 0;
  }

  /** @param {unknown} event */
  push(event) {
    for (const stream of this.#streams) {
      stream.push(event);
    }
  }

  /** @param {AbortSignal | undefined} signal ends the stream with its reason */
  stream(signal) {
    const stream = new EventStream((ended) => this.#streams.delete(ended), signal);
    if (this.#ended) {
      stream.end();
    } else if (!stream.isOver) {
      this.#streams.add(stream);
    }
    return stream;
  }

  /** Ends all streams once what waits in them is read. */
  end() {
    this.#ended = true;
    for (const stream of [...this.#streams]) {
      stream.end();
    }
  }
}

/** One reader's events, from when it asked for them. */
export class EventStream {
  /** @type {unknown[]} */
  #waiting = [];
  #missed = 0;
  /** @type {{ resolve(result: IteratorResult<unknown, undefined>): void, reject(error: unknown): void }[]} Those that are due an event. */
  #due = [];
  #over = false;
  /** @type {{ error: unknown } | undefined} */
  #failure;
  /** @type {((stream: EventStream) => void)[]} */
  #watchers;
  #signal;
  #abort = () => this.fail(this.#signal?.reason);

  /**
   * @param {(stream: EventStream) => void} ended
   * @param {AbortSignal} [signal]
   */
  constructor(ended, signal) {
    this.#watchers = [ended];
    this.#signal = signal;
    if (signal?.aborted) {
      this.#abort();
    } else {
      signal?.addEventListener('abort', this.#abort);
    }
  }

  get isOver() {
    return this.#over;
  }

  /** @param {(stream: EventStream) => void} watcher called when the stream is over */
  watch(watcher) {
    this.#watchers.push(watcher);
  }

  /** @param {unknown} event */
  push(event) {
    const due = this.#due.shift();
    if (due) {
      due.resolve({ done: false, value: event });
      return;
    }
    this.#waiting.push(event);
    if (this.#waiting.length > WAITING_LIMIT) {
      this.#waiting.shift();
      this.#missed += 1;
    }
  }

  /** What waits can still be read. */
  end() {
    if (this.#over) {
      return;
    }
    this.#over = true;
    this.#signal?.removeEventListener('abort', this.#abort);
    for (const watcher of this.#watchers) {
      watcher(this);
    }
    const failure = this.#failure;
    for (const due of this.#due.splice(0)) {
      this.#failure = undefined;
      if (failure) {
        due.reject(failure.error);
      } else {
        due.resolve({ done: true, value: undefined });
      }
    }
  }

  /** @param {unknown} error thrown to the reader, once, after what waits */
  fail(error) {
    if (!this.#over) {
      this.#failure = { error };
      this.end();
    }
  }

  /** @returns {Promise<IteratorResult<unknown, undefined>>} */
  next() {
    if (this.#missed > 0) {
      const events = this.#missed;
      this.#missed = 0;
      return Promise.resolve({ done: false, value: { type: 'missed', events } });
    }
    if (this.#waiting.length > 0) {
      return Promise.resolve({ done: false, value: this.#waiting.shift() });
    }
    if (this.#failure) {
      const { error } = this.#failure;
      this.#failure = undefined;
      return Promise.reject(error);
    }
    if (this.#over) {
      return Promise.resolve({ done: true, value: undefined });
    }
    return new Promise((resolve, reject) => this.#due.push({ resolve, reject }));
  }

  /** A loop that is left. @returns {Promise<IteratorResult<unknown, undefined>>} */
  return() {
    this.end();
    this.#waiting.length = 0;
    this.#missed = 0;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
