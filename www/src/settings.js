// What the page's address says: ?network=window|worker&relay=<multiaddr>&relay=…&seed=<64 hex digits>&store=<name>&ifInUse=wait|fail&name=A&log=debug
// and options=<JSON of a kernel's RemoteCommsOptions>

/**
 * @typedef {object} Settings
 * @property {string} name what this kernel is called on the page
 * @property {'window' | 'worker'} network where the network lives
 * @property {string[]} relays multiaddrs
 * @property {string} keySeed 64 hex digits, from which the peer id follows
 * @property {string | undefined} store the durable store that the kernel goes on from; none for one in memory
 * @property {'wait' | 'fail'} ifInUse what to do while another tab has that store open
 * @property {Partial<import('ocap-remotes/kernel').RemoteCommsOptions>} options
 * @property {LogLevel} log what the modules write on the console
 *
 * @typedef {Parameters<typeof import('ocap-remotes/kernel').setLogLevel>[0]} LogLevel
 */

/**
 * @param {URLSearchParams} query
 * @returns {Settings}
 */
export function readSettings(query) {
  const network = query.get('network') ?? 'window';
  if (network !== 'window' && network !== 'worker') {
    throw new Error(`?network=${network} is neither "window" nor "worker"`);
  }
  const seed = query.get('seed');
  if (seed !== null && !/^[0-9a-f]{64}$/i.test(seed)) {
    throw new Error('?seed= must have 64 hexadecimal digits');
  }
  const ifInUse = query.get('ifInUse') ?? 'wait';
  if (ifInUse !== 'wait' && ifInUse !== 'fail') {
    throw new Error(`?ifInUse=${ifInUse} is neither "wait" nor "fail"`);
  }
  return {
    name: query.get('name') ?? 'Kernel',
    network,
    relays: query.getAll('relay'),
    keySeed: seed ?? seedOfTab(),
    store: query.get('store') ?? undefined,
    ifInUse,
    options: JSON.parse(query.get('options') ?? '{}'),
    log: /** @type {LogLevel} */ (query.get('log') ?? 'warn'),
  };
}

/** The tab's own seed: a reloaded page keeps its peer id. A wallet would keep it better than this. */
function seedOfTab() {
  const kept = sessionStorage.getItem('seed');
  if (kept !== null) {
    return kept;
  }
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const seed = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  sessionStorage.setItem('seed', seed);
  return seed;
}
