// The network of a kernel of the lab in a frame: a window of its own, with WebRTC.

import { serveNetwork } from './network-context.js';

addEventListener('message', function start({ source, origin, data }) {
  if (source === parent && origin === location.origin) {
    removeEventListener('message', start);
    void serveNetwork(window, data);
  }
});
