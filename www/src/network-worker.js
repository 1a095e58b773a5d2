// The network in a Worker of its own, for pages whose relays are reached by websockets: Workers have no WebRTC.

import init, { Network, setLogLevel } from 'ocap-remotes/network';

/** @param {MessageEvent<{ port: MessagePort, log: import('./settings.js').LogLevel }>} event */
async function serve({ data: { port, log } }) {
  await init();
  setLogLevel(log);
  Network.serve(port);
}

// A failure becomes the Worker's `error` event in the page.
self.addEventListener('message', (event) => void serve(event).catch(reportError), { once: true });
