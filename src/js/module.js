// Loads the wasm of one half, once, and keeps every call out of it after a crash.

import { isError } from './arguments.js';
import { lastPanic, takeIsHanded } from './crash.js';
import { CrashError, InitError, NotInitializedError } from './errors.js';
import { EventStream } from './events.js';

/** Calls that nobody made, or that only tidy up: after a crash they do nothing. */
const QUIET = /_free$|^wasm_bindgen__|^__externref_(?!table_alloc)|^__wbindgen_(?!malloc|realloc)/;

/**
 * @typedef {BufferSource | WebAssembly.Module | string | URL | Request | Response} Source
 */

/** The exports of a module that nobody has loaded yet. */
export const notInitialized = /** @type {any} */ (
  /* @__PURE__ */ new Proxy(
    {},
    {
      get() {
        throw new NotInitializedError('call and await init() before anything else');
      },
    },
  )
);

export class WasmModule {
  #name;
  #imports;
  #adopt;
  /** @type {Promise<{ readonly memoryBytes: number }> | undefined} */
  #loading;
  #loaded = false;
  /** @type {WebAssembly.Memory | undefined} */
  #memory;
  /** What whoever loaded it may know of it. */
  #half;
  /** @type {WebAssembly.Table | undefined} Where the bindings put objects on their way out of the wasm. */
  #objects;
  /** @type {CrashError | undefined} */
  #crash;
  /** @type {Set<(crash: CrashError) => void>} Those that wait for an answer of the module. */
  #waiting = new Set();

  /**
   * @param {string} name for errors
   * @param {() => WebAssembly.Imports} imports
   * @param {(exports: any) => void} adopt given the guarded exports
   */
  constructor(name, imports, adopt) {
    this.#name = name;
    this.#imports = imports;
    this.#adopt = adopt;
    const memoryBytes = () => this.#memory?.buffer.byteLength ?? 0;
    this.#half = Object.freeze({
      get memoryBytes() {
        return memoryBytes();
      },
    });
  }

  /**
   * Loads the module unless that was done. Calls at once share one attempt; after a failed one the next tries anew.
   * @param {() => Source | PromiseLike<Source>} source asked only if it is needed
   * @returns {Promise<{ readonly memoryBytes: number }>}
   */
  load(source) {
    if (this.#crash) {
      return Promise.reject(this.#crash);
    }
    this.#loading ??= this.#load(source).then(() => this.#half).catch((error) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  /** @param {BufferSource | WebAssembly.Module} source */
  loadSync(source) {
    if (this.#crash) {
      throw this.#crash;
    }
    if (!this.#loaded) {
      try {
        const module = isModule(source) ? source : new WebAssembly.Module(source);
        this.#start(new WebAssembly.Instance(module, this.#imports()));
      } catch (error) {
        throw this.#explained(error);
      }
    }
    this.#loading ??= Promise.resolve(this.#half);
    return this.#half;
  }

  /** @param {() => Source | PromiseLike<Source>} source */
  async #load(source) {
    try {
      const instance = await this.#instantiate(await source());
      if (!this.#loaded) {
        this.#start(instance);
      }
    } catch (error) {
      // `initSync` may have been quicker.
      if (!this.#loaded) {
        throw this.#explained(error);
      }
    }
  }

  /**
   * @param {Source} source
   * @returns {Promise<WebAssembly.Instance>}
   */
  async #instantiate(source) {
    if (isModule(source)) {
      return WebAssembly.instantiate(source, this.#imports());
    }
    if (isBytes(source)) {
      return (await WebAssembly.instantiate(source, this.#imports())).instance;
    }
    const response = isResponse(source) ? source : await fetch(/** @type {string | URL | Request} */ (source));
    if (!response.ok) {
      throw new InitError(`${response.url || 'the server'} answered ${response.status} ${response.statusText}`.trim());
    }
    const type = response.headers.get('content-type') ?? '';
    if (/^application\/wasm\b/i.test(type) && typeof WebAssembly.instantiateStreaming === 'function') {
      return (await WebAssembly.instantiateStreaming(response, this.#imports())).instance;
    }
    // Some servers do not know wasm, and many answer a page for any address that they do not know.
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (bytes[0] !== 0 || bytes[1] !== 0x61 || bytes[2] !== 0x73 || bytes[3] !== 0x6d) {
      // Vite's development server did so before version 8.
      const moved = response.url.includes('/.vite/deps/');
      const advice = moved ? "; tell Vite not to move the module: optimizeDeps: { exclude: ['ocap-remotes'] }" : '';
      throw new InitError(`${response.url || 'the server'} is no wasm but ${type || 'of no known type'}${advice}`);
    }
    return (await WebAssembly.instantiate(bytes, this.#imports())).instance;
  }

  /** @param {WebAssembly.Instance} instance */
  #start(instance) {
    /** @type {Record<string, unknown>} */
    const guarded = {};
    for (const [name, value] of Object.entries(instance.exports)) {
      guarded[name] = typeof value === 'function' ? this.#guarded(name, value) : value;
    }
    this.#objects = /** @type {WebAssembly.Table} */ (instance.exports.__wbindgen_externrefs);
    this.#memory = /** @type {WebAssembly.Memory} */ (instance.exports.memory);
    this.#adopt(guarded);
    /** @type {() => void} */ (guarded.__wbindgen_start)();
    this.#loaded = true;
  }

  /**
   * @param {string} name
   * @param {Function} call
   */
  #guarded(name, call) {
    const quiet = QUIET.test(name);
    return (/** @type {unknown[]} */ ...args) => {
      const isHanded = takeIsHanded();
      if (this.#crash) {
        if (quiet && !isHanded) {
          return undefined;
        }
        throw this.#crash;
      }
      let result;
      try {
        result = call(...args);
      } catch (error) {
        // A trap, or a stack that overflowed. Any other error came through from JavaScript and was meant to.
        if (error instanceof WebAssembly.RuntimeError || isOverflow(error)) {
          this.#crashed(error);
        }
        throw this.#crash ?? error;
      }
      if (result instanceof Promise) {
        return this.#untilCrash(result);
      }
      const stream = this.#returned(result);
      if (stream instanceof EventStream && !stream.isOver) {
        const fail = (/** @type {CrashError} */ crash) => stream.fail(crash);
        this.#waiting.add(fail);
        stream.watch(() => this.#waiting.delete(fail));
      }
      return result;
    };
  }

  /**
   * The object that a call returned. Those that may throw return a number of it instead, with that of an error.
   * @param {unknown} result
   */
  #returned(result) {
    const [number, , hasFailed] = Array.isArray(result) ? result : [];
    if (hasFailed || !(number < /** @type {WebAssembly.Table} */ (this.#objects).length)) {
      return result;
    }
    return this.#objects?.get(number);
  }

  /** @param {unknown} cause */
  #crashed(cause) {
    if (this.#crash) {
      return;
    }
    const why = lastPanic() || String(cause);
    this.#crash = new CrashError(
      `the ${this.#name} half of ocap-remotes has crashed (${why}); load it again in a new Worker or page`,
      { cause },
    );
    for (const reject of [...this.#waiting]) {
      reject(this.#crash);
    }
    this.#waiting.clear();
  }

  /**
   * @template T
   * @param {Promise<T>} promise of the module, which never settles it after a crash
   * @returns {Promise<T>}
   */
  #untilCrash(promise) {
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      promise.then(resolve, reject).finally(() => this.#waiting.delete(reject));
    });
  }

  /** @param {unknown} error */
  #explained(error) {
    if (error instanceof InitError || error instanceof CrashError) {
      return error;
    }
    const message = isError(error) ? error.message : String(error);
    const advice = /Content Security Policy|disallowed by embedder|unsafe-eval/i.test(message)
      ? "; its script-src must have 'wasm-unsafe-eval'"
      : '';
    return new InitError(`the ${this.#name} half could not be loaded: ${message}${advice}`, { cause: error });
  }
}

// By what they are, not by whose class they are instances of: an iframe, Jest and `vm` contexts have classes of their own.

const kindOf = (/** @type {unknown} */ value) => Object.prototype.toString.call(value).slice('[object '.length, -1);

/** @param {unknown} source @returns {source is WebAssembly.Module} */
function isModule(source) {
  return kindOf(source) === 'WebAssembly.Module';
}

/** @param {unknown} source @returns {source is BufferSource} */
function isBytes(source) {
  return ArrayBuffer.isView(source) || /^(Shared)?ArrayBuffer$/.test(kindOf(source));
}

/** @param {unknown} source @returns {source is Response} */
function isResponse(source) {
  return kindOf(source) === 'Response';
}

/** @param {unknown} error */
function isOverflow(error) {
  // Chromium and Safari throw a RangeError, Firefox an InternalError.
  return isError(error) && /^(RangeError|InternalError)$/.test(error.name) && /stack|recursion/i.test(error.message);
}
