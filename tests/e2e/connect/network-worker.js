// The network's Worker in the fewest lines.

import { kernelPort } from '/js/connect.js';
import init, { Network } from '/pkg/network/network.js';

await init();
Network.serve(await kernelPort());
