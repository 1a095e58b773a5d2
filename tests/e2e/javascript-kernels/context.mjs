// @ts-check
// A window or a Worker with a JavaScript kernel, which the test calls by the names of its methods.

import { JavaScriptKernel } from './kernel.mjs';

/** @type {JavaScriptKernel | undefined} */
let kernel;

/** @param {string} method @param {any[]} args */
export async function call(method, args) {
  if (method === 'start') {
    kernel = await JavaScriptKernel.start(args[0]);
    return kernel.identity();
  }
  return /** @type {any} */ (kernel)[method](...args);
}

if (typeof document === 'undefined') {
  globalThis.addEventListener('message', async ({ data: [id, method, ...args] }) => {
    try {
      postMessage([id, await call(method, args)]);
    } catch (error) {
      postMessage([id, undefined, error instanceof Error ? `${error.name}: ${error.message}\n${error.stack}` : String(error)]);
    }
  });
  postMessage(['ready']);
}
