// Waiting for what must happen.

import { within as withinLimit } from '../../../www/story/within.mjs';

/** How long anything may take, in milliseconds; machines that are busy with other things are slow. */
export const LIMIT = 60_000;

/** Like that of the story, with a limit that suits most. */
export const within = (promise, what, limit = LIMIT) => withinLimit(promise, what, limit);

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Values that come one after the other, and readers that wait for the first that suits them. */
export class Inbox {
  #values = [];
  #waiting = [];
  #ended;

  put(value) {
    const index = this.#waiting.findIndex(({ suits }) => suits(value));
    if (index === -1) {
      this.#values.push(value);
    } else {
      this.#waiting.splice(index, 1)[0].resolve(value);
    }
  }

  /** Nothing comes any more; whoever waits is told why. */
  end(error) {
    this.#ended = error;
    for (const { reject } of this.#waiting.splice(0)) {
      reject(error);
    }
  }

  get waiting() {
    return [...this.#values];
  }

  async take(what, suits = () => true, limit = LIMIT) {
    const index = this.#values.findIndex(suits);
    if (index !== -1) {
      return this.#values.splice(index, 1)[0];
    }
    if (this.#ended !== undefined) {
      throw new Error(`there is no more ${what}: ${this.#ended.message}`, { cause: this.#ended });
    }
    const found = new Promise((resolve, reject) => {
      this.#waiting.push({ suits, resolve, reject });
    });
    return within(found, what, limit);
  }
}
