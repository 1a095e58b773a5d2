// js-libp2p in the page, made up and used as the incumbent's transport does: one stream, length-prefixed JSON, the handshake first.

import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2';
import { identify } from '@libp2p/identify';
import { ping } from '@libp2p/ping';
import { lpStream } from '@libp2p/utils';
import { webRTCDirect } from '@libp2p/webrtc';
import { webSockets } from '@libp2p/websockets';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';

const PROTOCOL = '/ocap-kernel/remote/1.0.0';
const MAX_FRAME = 2 * 1024 * 1024;

/** Connects to the peer at one address, and calls `onMessage` with each text that comes. */
export async function connect(_, address, onMessage) {
  const node = await createLibp2p({
    transports: [webSockets(), webRTCDirect(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: async () => false },
    services: { identify: identify(), ping: ping() },
  });
  const stream = await node.dialProtocol(multiaddr(address), PROTOCOL, { runOnLimitedConnection: true });
  const frames = lpStream(stream, { maxDataLength: MAX_FRAME, maxBufferSize: 16 * MAX_FRAME });
  const [encoder, decoder] = [new TextEncoder(), new TextDecoder()];
  // One after the other: js-libp2p closes a stream on which much is written at once.
  let writing = Promise.resolve();
  const write = (text) => (writing = writing.then(() => frames.write(encoder.encode(text))));
  const read = async () => decoder.decode((await frames.read()).subarray());
  await write(JSON.stringify({ method: 'handshake', params: { incarnationId: 'bench' } }));
  if (JSON.parse(await read()).method !== 'handshakeAck') {
    throw new Error('the handshake was not acknowledged');
  }
  let open = true;
  (async () => {
    while (open) {
      onMessage(await read());
    }
  })().catch((error) => {
    if (open) {
      console.error(error);
    }
  });
  return {
    send: write,
    close: async () => {
      open = false;
      await node.stop();
    },
  };
}
