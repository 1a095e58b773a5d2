// Calls in the two ways that are measured, for a kernel's program and for js-libp2p alike.

/** Makes one call after the other for so many milliseconds; gives how long each took. */
export async function oneAfterTheOther(call, forMs) {
  const times = [];
  const endsAt = performance.now() + forMs;
  while (performance.now() < endsAt) {
    const begunAt = performance.now();
    await call();
    times.push(performance.now() - begunAt);
  }
  return times;
}

/** Calls one peer again and again, each time as soon as `ready` lets it, until it is ended. */
export class Flow {
  answered = 0;
  /** Calls that were not answered, at most. */
  mostUnderWay = 0;
  #isOver = false;
  /** @type {unknown} */
  #failure;
  #underWay = new Set();
  #sending;

  /**
   * @param {() => Promise<void>} ready
   * @param {() => Promise<void>} call
   */
  constructor(ready, call) {
    this.#sending = this.#send(ready, call).catch((error) => this.#fail(error));
  }

  async #send(ready, call) {
    for (;;) {
      await ready();
      if (this.#isOver) {
        return;
      }
      const answer = call();
      this.#underWay.add(answer);
      this.mostUnderWay = Math.max(this.mostUnderWay, this.#underWay.size);
      answer.then(() => this.#settle(answer), (error) => this.#fail(error));
    }
  }

  #settle(answer) {
    this.answered += 1;
    this.#underWay.delete(answer);
  }

  #fail(error) {
    this.#failure ??= error;
    this.#isOver = true;
  }

  /** Throws what went wrong, if anything did. */
  check() {
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
  }

  /** Resolves when no call is under way any more. */
  async end() {
    this.#isOver = true;
    await this.#sending;
    await Promise.allSettled(this.#underWay);
    this.check();
  }
}

/** Flows to many peers at once. */
export class Flows {
  /** @type {Flow[]} */
  #flows;

  /** @param {Flow[]} flows */
  constructor(flows) {
    this.#flows = flows;
  }

  /** When this is, in milliseconds, how many calls each peer has answered until now, and how many it had before it at most. */
  count() {
    this.#flows.forEach((flow) => flow.check());
    const of = (member) => this.#flows.map((flow) => flow[member]);
    return { at: performance.now(), answered: of('answered'), mostUnderWay: of('mostUnderWay') };
  }

  /** Makes no more calls, and resolves with the count when all are answered. */
  async end() {
    await Promise.all(this.#flows.map((flow) => flow.end()));
    return this.count();
  }
}
