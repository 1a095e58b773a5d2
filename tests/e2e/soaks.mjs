// The soaks of the network as far as each run of the tests goes. `cargo xtask test --only end-to-end` builds what they need, and says
// where it is:
//
//   OCAP_NETWORK_PAGE   the built page with our package and js-libp2p
//   OCAP_ECHO_PEER      a peer that is plain libp2p
//   OCAP_KERNEL_PEER    a peer that is a whole kernel

import { fileURLToPath } from 'node:url';
import { lastLineOf } from './program.mjs';

const CONNECTIONS = '40';
const MESSAGES = '20';
/** A debug build that carries long messages on a slow machine may leave a ping unanswered for the 4 s of the default. */
const PATIENT = JSON.stringify({ heartbeatTimeoutMs: 30_000 });

/** @param {string} path from the tree's root */
const ofTheTree = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export async function aShortSoakOfTheNetwork() {
  const { OCAP_NETWORK_PAGE = '', OCAP_RELAY_BIN = '', OCAP_ECHO_PEER = '' } = process.env;
  const parameters = [OCAP_NETWORK_PAGE, OCAP_RELAY_BIN, OCAP_ECHO_PEER, CONNECTIONS, MESSAGES];
  console.log(await lastLineOf(ofTheTree('tests/bench/network-soak.mjs'), parameters));
}

export async function aShortSoakOfKernels() {
  console.log(await lastLineOf(ofTheTree('tests/network/soak.mjs'), [MESSAGES, PATIENT]));
}
