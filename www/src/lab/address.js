// What the address of the lab says, after the `#` so that no server sees it: an OCAP URL is for whoever has it.
//
//   relay=<multiaddr>     a relay; may be repeated
//   redeem=<OCAP URL>     one kernel is started and redeems it, ready to talk to the kernel that issued it
//   kernels=<n>           how many are started; two, or one that redeems
//   store=memory|durable  of these; by default durable where the browser has it, which is over https and on localhost
//   network=worker|frame  of these; by default one of each kind where the relay is reached both ways
//   options=<JSON>        RemoteCommsOptions of all kernels, beside those of BRISK below
//   log=<level>           what the modules write on the console

/**
 * @typedef {object} LabAddress
 * @property {string[]} relays
 * @property {string | undefined} redeem
 * @property {number} kernels
 * @property {'memory' | 'durable'} storage
 * @property {import('./networks.js').Place | undefined} place
 * @property {Partial<import('ocap-remotes/kernel').RemoteCommsOptions>} options
 * @property {import('../settings.js').LogLevel} log
 */

/**
 * So that nobody waits long for a thousand messages, nor because of many cuts in a row; the library's defaults are 100 and 10.
 * @type {LabAddress['options']}
 */
export const BRISK = { maxMessagesPerSecond: 400, maxConnectionAttemptsPerMinute: 60 };
/** More than one page should carry. */
const MOST_KERNELS = 40;

/**
 * @param {string} hash
 * @returns {LabAddress}
 */
export function readAddress(hash) {
  const said = new URLSearchParams(hash.replace(/^#/, ''));
  const redeem = said.get('redeem') ?? undefined;
  const kernels = Number(said.get('kernels') ?? (redeem ? 1 : 2));
  if (!Number.isInteger(kernels) || kernels < 1 || kernels > MOST_KERNELS) {
    throw new Error(`kernels=${said.get('kernels')} is not a number from 1 to ${MOST_KERNELS}`);
  }
  return {
    relays: said.getAll('relay').map((relay) => relay.trim()).filter(Boolean),
    redeem,
    kernels,
    storage: oneOf(said, 'store', ['durable', 'memory']) ?? (isSecureContext ? 'durable' : 'memory'),
    place: oneOf(said, 'network', ['worker', 'frame']),
    options: { ...BRISK, ...readOptions(said.get('options')) },
    log: /** @type {LabAddress['log']} */ (said.get('log') ?? 'warn'),
  };
}

/**
 * @template {string} T
 * @param {URLSearchParams} said
 * @param {string} name
 * @param {T[]} choices
 * @returns {T | undefined}
 */
function oneOf(said, name, choices) {
  const value = said.get(name);
  const found = choices.find((choice) => choice === value);
  if (value !== null && !found) {
    throw new Error(`${name}=${value} is none of ${choices.join(', ')}`);
  }
  return found;
}

/** @param {string | null} text */
function readOptions(text) {
  try {
    return JSON.parse(text ?? '{}');
  } catch {
    throw new Error(`options=${text} is not JSON`);
  }
}

/**
 * A link that opens a lab with one kernel that is ready to talk to the issuer of a URL.
 * @param {string[]} relays
 * @param {string} url
 */
export function invitationLink(relays, url) {
  const said = new URLSearchParams([...relays.map((relay) => ['relay', relay]), ['redeem', url]]);
  return `${location.origin}${location.pathname}#${said}`;
}

/** @param {string} address a multiaddr or a web address */
export const isOfThisMachine = (address) =>
  /\/ip4\/127\.|\/ip6\/::1\/|\/dns\w*\/localhost\/|\/\/(localhost|127\.|\[::1\])/.test(address);
