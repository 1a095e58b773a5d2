// The network of a kernel of the lab in a Worker, where there are websockets only.

import { serveNetwork } from './network-context.js';

self.addEventListener('message', ({ data }) => void serveNetwork(self, data), { once: true });
