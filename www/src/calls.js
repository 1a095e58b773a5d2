// Calls between two contexts that post messages to each other: `{ id, call, args }`, answered by `{ id, value }` or `{ id, error }`.

/**
 * @typedef {{ id: number, call: string, args: unknown[] }} Call
 * @typedef {{ name: string, message: string }} PlainError
 * @typedef {{ id: number, value?: unknown, error?: PlainError }} Reply
 */

/**
 * Errors cross as plain data: a clone of an Error would lose its name.
 * @param {unknown} error
 * @returns {PlainError}
 */
export function plain(error) {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { name, message };
}

/** @param {PlainError} error */
export const revive = ({ name, message }) => Object.assign(new Error(message), { name });

/**
 * @param {Record<string, (...args: any[]) => unknown>} calls what may be called
 * @param {Call} call
 * @returns {Promise<Reply>}
 */
export async function answer(calls, { id, call, args }) {
  try {
    if (!Object.hasOwn(calls, call)) {
      throw new Error(`there is nothing to call by the name of ${call}`);
    }
    return { id, value: await calls[call](...args) };
  } catch (error) {
    return { id, error: plain(error) };
  }
}

/** The calls that this end has made. */
export class Calls {
  /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
  #waiting = new Map();
  #last = 0;

  /**
   * @param {(call: Call) => void} post
   * @param {string} call
   * @param {unknown[]} args
   * @returns {Promise<any>}
   */
  make(post, call, args) {
    return new Promise((resolve, reject) => {
      this.#last += 1;
      this.#waiting.set(this.#last, { resolve, reject });
      post({ id: this.#last, call, args });
    });
  }

  /** @param {Reply} reply */
  settle({ id, value, error }) {
    const call = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) {
      call?.reject(revive(error));
    } else {
      call?.resolve(value);
    }
  }

  /** @param {Error} error why none of them will be answered */
  rejectAll(error) {
    for (const { reject } of this.#waiting.values()) {
      reject(error);
    }
    this.#waiting.clear();
  }
}
