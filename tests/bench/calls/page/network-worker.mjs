// The network in a Worker of its own, which has WebSocket only.

import { answerCalls, kernelPort } from 'ocap-remotes/connect';
import init, { Network } from 'ocap-remotes/network';

let network;

answerCalls({ status: () => network.status() });

await init();
network = Network.serve(await kernelPort());
