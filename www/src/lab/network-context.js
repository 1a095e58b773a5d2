// What serves a kernel's network in a context of its own, a Worker or a frame, with a hand on its line and an eye on its bridge.

import { jump } from './clock.js';
import init, { Network, setLogLevel } from 'ocap-remotes/network';
import { answer, plain } from '../calls.js';
import { Line } from './line.js';
import { Meddling } from './meddler.js';
import { tapped } from './tap.js';

/**
 * @typedef {object} NetworkStart the one message that starts it; the ports are transferred
 * @property {MessagePort} port leads to the kernel
 * @property {MessagePort} control leads to the page
 * @property {import('../settings.js').LogLevel} log
 * @property {Partial<import('./line.js').LineState>} line
 * @property {boolean} acceptsGaps whether the kernel is made to accept gaps, as the incumbent does
 *
 * What the page is told.
 * @typedef {{ observed: import('./tap.js').Observation[], omitted: number }
 *   | { changed: import('ocap-remotes/network').NetworkEvent }
 *   | { failed: import('../calls.js').PlainError } | { serving: true } | import('../calls.js').Reply} FromNetwork
 */

/** How long observations are gathered before the page is told, in milliseconds. */
const GATHER_MS = 40;
/** Observations told at once; of more only the number is told. */
const TOLD_AT_ONCE = 1_000;

/**
 * @param {typeof globalThis} scope
 * @param {NetworkStart} start
 */
export async function serveNetwork(scope, { port, control, log, line: lineState, acceptsGaps }) {
  const tell = (/** @type {FromNetwork} */ message) => control.postMessage(message);
  /** @type {import('./tap.js').Observation[]} */
  let observed = [];
  let omitted = 0;
  const flush = () => {
    tell({ observed, omitted });
    observed = [];
    omitted = 0;
  };
  const observe = (/** @type {import('./tap.js').Observation} */ observation) => {
    if (observed.length === 0 && omitted === 0) {
      setTimeout(flush, GATHER_MS);
    }
    if (observed.length < TOLD_AT_ONCE) {
      observed.push(observation);
    } else {
      omitted += 1;
    }
  };
  try {
    const line = new Line(scope);
    line.set(lineState);
    const half = await init();
    setLogLevel(log);
    const meddling = new Meddling(acceptsGaps);
    const network = Network.serve(tapped(port, observe, meddling), { onEvent: (changed) => tell({ changed }) });
    const calls = {
      status: () => network.status(),
      /** What the module's memory takes, in bytes. */
      memory: () => half.memoryBytes,
      line: (/** @type {Partial<import('./line.js').LineState>} */ change) => {
        const wasSilent = line.state.silent;
        line.set(change);
        if (wasSilent && !line.state.silent) {
          scope.dispatchEvent(new Event('online')); // as the browser says when the way to the network is back
        }
      },
      swallow: (/** @type {number} */ spared, /** @type {number} */ count) => meddling.swallow(spared, count),
      sleep: (/** @type {number} */ ms) => {
        line.forgetAll();
        jump(ms);
      },
    };
    control.onmessage = async ({ data }) => tell(await answer(calls, data));
    tell({ serving: true });
  } catch (error) {
    tell({ failed: plain(error) });
  }
}
