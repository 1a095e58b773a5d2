// Runs the documents' examples that are no whole application, each in a Worker, with what they take for granted. Those that quote
// the demo or the extension are run by the whole-system tests: here it is seen that they still are quotations.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { examples, RELAY } from './examples.mjs';
import { open } from './drive.mjs';
import { ROOT } from './pack.mjs';

const LIMIT_MS = 30_000;

/** What an example may use without making it, in the order in which it is made. */
const GIVEN = [
  ['network', 'other.Network.serve(ports.port1, { onEvent() {} })'],
  ['port', 'ports.port2'],
  ['options', '{ relays, onEvent() {} }'],
  ['kernel', 'await start()'],
  ['platformServices', 'platform()'],
  ['kernelStore', 'new Database()'],
  ['kernelQueue', 'new KernelQueue(kernelStore, {})'],
  ['logger', 'console'],
  ['keySeed', "'1e'.repeat(32)"],
];

/**
 * @param {string} code
 * @param {{ modules: string, kernels: string, relay: string }} places
 */
function worker(code, { modules, kernels, relay }) {
  const addressed = code
    .replaceAll(RELAY, relay)
    .replace(/'ocap-remotes\/([\w-]+)\/inline'/g, `'${modules}$1/inline.js'`)
    .replace(/'ocap-remotes\/([\w-]+)'/g, `'${modules}$1/$1.js'`)
    .replace(/'ocap-remotes'/g, `'${modules}index.js'`);
  const imports = addressed.match(/^import .*$/gm) ?? [];
  const body = addressed.replace(/^import .*$/gm, '');
  const isFree = (/** @type {string} */ name) =>
    new RegExp(`\\b${name}\\b`).test(body) && !new RegExp(`(const|let) ${name}\\b`).test(body);
  const given = GIVEN.filter(([name]) => isFree(name) || (name === 'network' && /\b(kernel|port)\b/.test(body)));
  // The kernel starts meanwhile, so that those who watch the network see it.
  const alone = isFree('network') && !isFree('kernel');
  return `
    ${imports.join('\n')}
    import * as half from '${modules}kernel/kernel.js';
    import * as other from '${modules}network/network.js';
    import { Database } from '${kernels}database.mjs';
    import { KernelQueue } from '${kernels}queue.mjs';
    onmessage = async () => {
      try {
        const relays = ['${relay}'];
        const ports = new MessageChannel();
        await Promise.all([half.default(), other.default()]);
        const start = async () =>
          half.Kernel.start(ports.port2, { relays, onEvent() {} }, await half.openKernelStore({ durability: 'memory' }));
        const platform = () => {
          const none = async () => {};
          return {
            initializeRemoteComms: (...given) => other.initTransport(...given).then((transport) => {
              platformServices.stopRemoteComms = transport.stop;
            }),
            stopRemoteComms: none, sendRemoteMessage: none, closeConnection: none, registerLocationHints: none, reconnectPeer: none,
          };
        };
        ${given.map(([name, value]) => `const ${name} = ${value};`).join('\n')}
        ${alone ? 'void start();' : ''}
        ${body}
        postMessage('');
      } catch (error) {
        postMessage(String(error?.stack ?? error));
      }
    };`;
}

const squeezed = (/** @type {string} */ text) => text.replace(/\s+/g, ' ').trim();

/** The JavaScript of the demo and the extension, to look quotations up in. */
async function demonstrations() {
  const sources = [];
  for (const folder of ['www/src', 'www/extension']) {
    for (const name of (await readdir(join(ROOT, folder))).filter((name) => name.endsWith('.js'))) {
      sources.push(squeezed(await readFile(join(ROOT, folder, name), 'utf8')));
    }
  }
  return sources;
}

/** @param {import('./behaviour.mjs').Place & { relay: string }} place */
export async function runExamples({ browser, blank, ...places }) {
  const sources = await demonstrations();
  const isQuoted = (/** @type {string} */ code) => sources.some((source) => source.includes(squeezed(code)));
  const all = (await examples()).filter(({ file }) => !file);
  const fragments = all.filter(({ code }) => !isQuoted(code));
  const failures = [];
  for (const { document, line, code } of fragments) {
    const { page, close } = await open(browser, blank);
    const failure = await page.evaluate(
      async ([source, limit]) => {
        const script = URL.createObjectURL(new Blob([String(source)], { type: 'text/javascript' }));
        const worker = new Worker(script, { type: 'module' });
        worker.postMessage('go');
        return new Promise((resolve) => {
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = ({ message }) => resolve(message ?? 'it cannot be loaded');
          setTimeout(() => resolve('it does not end'), Number(limit));
        });
      },
      [worker(code, places), LIMIT_MS],
    );
    await close();
    if (failure) {
      failures.push(`${document}:${line}: ${failure}`);
    }
  }
  console.log(`        ${fragments.length} examples run, ${all.length - fragments.length} quoted`);
  if (failures.length > 0) {
    throw new Error(failures.join('\n'));
  }
}
