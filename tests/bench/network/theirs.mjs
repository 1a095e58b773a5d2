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

/** Reads and writes texts on a stream. */
function texts(stream) {
  const frames = lpStream(stream, { maxDataLength: MAX_FRAME, maxBufferSize: 16 * MAX_FRAME });
  const [encoder, decoder] = [new TextEncoder(), new TextDecoder()];
  // One after the other: js-libp2p closes a stream on which much is written at once.
  let writing = Promise.resolve();
  return {
    write: (text) => (writing = writing.then(() => frames.write(encoder.encode(text)))),
    read: async () => decoder.decode((await frames.read()).subarray()),
  };
}

const createNode = () =>
  createLibp2p({
    transports: [webSockets(), webRTCDirect(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: async () => false },
    services: { identify: identify(), ping: ping() },
  });

/** Connects to the peer at one address, and calls `onMessage` with each text that comes. */
export async function connect(_, address, onMessage) {
  const node = await createNode();
  const { write, read } = texts(await node.dialProtocol(multiaddr(address), PROTOCOL));
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

/**
 * Lets the streams of a connection close without waiting. Over WebRTC js-libp2p waits for the other end to acknowledge it, which
 * rust-libp2p never does, and then takes a reservation that it has got for one that failed.
 */
function closeAtOnce(connection) {
  const newStream = connection.newStream.bind(connection);
  connection.newStream = async (...args) => {
    const stream = await newStream(...args);
    const close = stream.close.bind(stream);
    stream.close = async (options) => void close(options).catch(() => {});
    return stream;
  };
}

/** Answers each text that comes through the relay with what `answer` makes of it; gives the address for `connect`. */
export async function listen(relay, answer) {
  const node = await createNode();
  closeAtOnce(await node.dial(multiaddr(relay)));
  await node.components.transportManager.listen([multiaddr(`${relay}/p2p-circuit`)]);
  const serve = async (stream) => {
    const { write, read } = texts(stream);
    await read();
    await write(JSON.stringify({ method: 'handshakeAck', params: { incarnationId: 'bench' } }));
    for (;;) {
      const text = await read();
      // Not awaited: the next one is read meanwhile, as kernels do.
      write(answer(text)).catch((error) => console.error(error));
    }
  };
  await node.handle(PROTOCOL, (stream) => void serve(stream).catch((error) => console.error(error)), { runOnLimitedConnection: true });
  for (;;) {
    const reserved = node.getMultiaddrs().map(String).some((address) => address.includes('/p2p-circuit'));
    if (reserved) {
      return `${relay}/p2p-circuit/p2p/${node.peerId}`;
    }
    await new Promise((resolve) => node.addEventListener('self:peer:update', resolve, { once: true }));
  }
}
