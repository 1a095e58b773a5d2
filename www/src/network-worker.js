// The network in a Worker of its own, for pages whose relays are reached by websockets: Workers have no WebRTC.

import init, { Network } from 'ocap-remotes/network';

self.addEventListener('message', async ({ data: { port } }) => {
  await init();
  Network.serve(port);
}, { once: true });
