// Where the network of this tab lives.

/**
 * Serves a network on `port` and returns how to end it.
 * @param {'window' | 'worker'} where
 * @param {MessagePort} port
 * @param {(error: Error) => void} onFailure
 * @returns {Promise<() => Promise<void>>}
 */
export async function serveNetwork(where, port, onFailure) {
  return where === 'worker' ? serveInWorker(port, onFailure) : serveInWindow(port);
}

/** @param {MessagePort} port */
async function serveInWindow(port) {
  // Loaded here, so that a page whose network lives in a Worker does not load it twice.
  const { default: init, Network } = await import('ocap-remotes/network');
  await init();
  const network = Network.serve(port);
  return () => network.stop();
}

/**
 * @param {MessagePort} port
 * @param {(error: Error) => void} onFailure
 */
async function serveInWorker(port, onFailure) {
  const worker = new Worker(new URL('./network-worker.js', import.meta.url), { type: 'module', name: 'network' });
  worker.addEventListener('error', (event) => onFailure(new Error(`the network's Worker: ${event.message}`)));
  worker.postMessage({ port }, [port]);
  return async () => worker.terminate();
}
