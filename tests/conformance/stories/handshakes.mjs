// Who speaks under which name, and the first message on every channel (protocol §2, §3).

import assert from 'node:assert/strict';
import { LEGACY, OURS } from '../support/incumbent.mjs';

const knocking = (world, peer) => {
  const redeemed = world.kernel.call('redeemOcapUrl', { url: peer.url() });
  redeemed.catch(() => {}); // The story is over before it ends.
};

export const handshakes = {
  'a peer that dials under the bare name is answered': async (world) => {
    const incarnation = await world.dial();
    assert.equal(world.peer.channel.protocol, LEGACY);
    assert.equal(incarnation, world.kernel.incarnationId);
  },

  'a peer that dials under our name is answered': async (world) => {
    assert.equal(await world.dial(world.peer, OURS), world.kernel.incarnationId);
    assert.equal(world.peer.channel.protocol, OURS);
  },

  'a peer that proposes several names gets the first that we know': async (world) => {
    await world.dial(world.peer, ['/somebody/else/1.0.0', LEGACY]);
    assert.equal(world.peer.channel.protocol, LEGACY);
  },

  'a peer that knows only the bare name is dialled under it': async (world) => {
    await world.introduce();
    knocking(world, world.peer);
    assert.equal(await world.peer.accept(), world.kernel.incarnationId);
    assert.equal(world.peer.channel.protocol, LEGACY);
    assert.equal((await world.peer.receive()).method, 'redeemURL');
  },

  'a peer that knows both names is dialled under ours': async (world) => {
    const peer = await world.startPeer([LEGACY, OURS]);
    await world.introduce(peer);
    knocking(world, peer);
    assert.equal(await peer.accept(), world.kernel.incarnationId);
    assert.equal(peer.channel.protocol, OURS);
    assert.equal((await peer.receive()).method, 'redeemURL');
  },

  'what a handshake has beyond the incarnation is ignored': async (world) => {
    const channel = await world.open();
    const params = { incarnationId: world.peer.incarnation, resume: { received: 7 }, more: null };
    await channel.write({ jsonrpc: '2.0', method: 'handshake', params, id: 1 });
    const answer = { method: 'handshakeAck', params: { incarnationId: world.kernel.incarnationId } };
    assert.deepEqual(await channel.read(), answer);
  },

  'anything else as the first message ends the channel, and nothing but the channel': async (world) => {
    const delivery = { seq: 1, method: 'deliver', params: ['bringOutYourDead'] };
    const ack = { method: 'handshakeAck', params: { incarnationId: world.peer.incarnation } };
    const nameless = { method: 'handshake', params: {} };
    for (const first of [delivery, ack, nameless, { ack: 1 }, 'no JSON', '']) {
      const channel = await world.open();
      await channel.write(first);
      await channel.ended();
    }
    await world.dial();
    await world.objectOfKernel();
  },

  'a peer that is silent instead of shaking hands is not waited for for ever': async (world) => {
    const silent = await world.open();
    await silent.ended();
    await world.introduce();
    knocking(world, world.peer);
    const unanswered = await world.peer.opened();
    assert.equal((await unanswered.read()).method, 'handshake');
    await unanswered.ended();
    assert.equal(await world.peer.accept(), world.kernel.incarnationId);
  },
};
