// Where the network of this tab lives.

/** @typedef {import('./settings.js').LogLevel} LogLevel */

/**
 * Serves a network on `port` and returns how to end it.
 * @param {Pick<import('./settings.js').Settings, 'network' | 'log'>} settings
 * @param {MessagePort} port
 * @param {(error: Error) => void} onFailure
 * @returns {Promise<() => Promise<void>>}
 */
export async function serveNetwork({ network, log }, port, onFailure) {
  return network === 'worker' ? serveInWorker(port, log, onFailure) : serveInWindow(port, log);
}

/**
 * @param {MessagePort} port
 * @param {LogLevel} log
 */
async function serveInWindow(port, log) {
  // Loaded here, so that a page whose network lives in a Worker does not load it twice.
  const { default: init, Network, setLogLevel } = await import('ocap-remotes/network');
  await init();
  setLogLevel(log);
  const network = Network.serve(port);
  return () => network.stop();
}

/**
 * @param {MessagePort} port
 * @param {LogLevel} log
 * @param {(error: Error) => void} onFailure
 */
async function serveInWorker(port, log, onFailure) {
  const worker = new Worker(new URL('./network-worker.js', import.meta.url), { type: 'module', name: 'network' });
  worker.addEventListener('error', (event) => onFailure(new Error(`the network's Worker: ${event.message}`)));
  worker.postMessage({ port, log }, [port]);
  return async () => worker.terminate();
}
