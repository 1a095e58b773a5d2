// Either side goes away and comes back, with its memory or without (protocol §3).

import assert from 'node:assert/strict';

const bodyOf = ({ params }) => params[2].methargs.body;
const isRejectedFor = (code) => ({ rejected, body }) => rejected && body.includes(`[KERNEL:${code}]`);

/** Both ends have an object of the other's, and a promise of the kernel's is to be decided by the peer. */
async function acquainted(world) {
  await world.introduce();
  await world.dial();
  const { inFrameOfKernel, url } = await world.objectOfKernel();
  const object = await world.objectOfPeer();
  const promise = await world.kernel.send(object, '#"asked"');
  const asked = await world.peer.receive();
  return { inFrameOfKernel, url, object, promise, result: asked.params[2].result };
}

export const restarts = {
  'a peer that restarts with its memory goes on where it was': async (world) => {
    const { kernel, peer } = world;
    const { inFrameOfKernel, object, promise, result } = await acquainted(world);
    await peer.restart();
    await kernel.send(object, '#"pending"');
    assert.equal(await peer.accept(), kernel.incarnationId);
    assert.equal(bodyOf(await peer.receive()), '#"pending"');
    await peer.deliver('notify', [[result.replace('+', '-'), false, { body: '#"late"', slots: [] }]]);
    const { promise: settled, rejected } = await kernel.event('notify');
    assert.deepEqual([settled, rejected], [promise, false]);
    await peer.deliverMessage(inFrameOfKernel, '#"fresh"', { result: 'rp+9' });
    assert.equal((await kernel.event('message')).body, '#"fresh"');
    assert.deepEqual(kernel.events('peerRestarted'), []);
  },

  'a peer that comes back without its memory and dials is known for another': async (world) => {
    const { kernel, peer } = world;
    const { url, promise } = await acquainted(world);
    const former = peer.incarnation;
    await peer.reincarnate();
    const stale = await world.open();
    await stale.write({ method: 'handshake', params: { incarnationId: peer.incarnation } });
    await stale.ended();
    const restarted = await kernel.event('peerRestarted');
    assert.deepEqual([restarted.formerIncarnation, restarted.incarnation], [former, peer.incarnation]);
    const { promise: rejected, ...reason } = await kernel.event('notify');
    assert.equal(rejected, promise);
    assert.ok(isRejectedFor('PEER_RESTARTED')(reason), reason.body);

    await world.dial();
    await peer.send('redeemURL', [url, 'again']);
    const { seq, params } = await peer.receive();
    assert.deepEqual([seq, ...params], [1, true, 'again', 'ro+1']);
    assert.equal(await kernel.call('audit'), null);
  },

  'a peer that comes back without its memory is told nothing that was meant for its former life': async (world) => {
    const { kernel, peer } = world;
    const { object, promise } = await acquainted(world);
    await peer.stop();
    const pending = await kernel.send(object, '#"stale"');
    await peer.reincarnate();
    const rejected = new Set();
    // The kernel finds out when it dials; what it says to the new incarnation it says on a channel that it has judged.
    const answered = peer.accept().then(() => peer.channel.staysQuiet(300), () => {});
    while (rejected.size < 2) {
      const reason = await kernel.event('notify');
      assert.ok(isRejectedFor('PEER_RESTARTED')(reason), reason.body);
      rejected.add(reason.promise);
    }
    assert.deepEqual(rejected, new Set([promise, pending]));
    await answered;
    // What the dead had exported is dead, too.
    await kernel.send(object, '#"late"');
    assert.ok((await kernel.event('notify')).rejected);
  },

  'we restart with our memory and go on where we were': async (world) => {
    const { kernel, peer } = world;
    const { inFrameOfKernel, object } = await acquainted(world);
    const { incarnationId } = kernel;
    await peer.acknowledged(await peer.deliverMessage(inFrameOfKernel, '#"taken"', { result: 'rp+8' }));
    await kernel.event('message');
    await kernel.send(object, '#1');
    assert.equal(bodyOf(await peer.receive('a message', { acknowledge: false })), '#1');
    await kernel.restart();
    assert.equal(kernel.incarnationId, incarnationId);
    assert.equal(await peer.accept(), incarnationId);
    assert.equal(bodyOf(await peer.channel.read()), '#1', 'it was not acknowledged');
    await peer.acknowledge();
    await kernel.send(object, '#2');
    assert.equal(bodyOf(await peer.receive()), '#2');

    await peer.deliverMessage(inFrameOfKernel, '#"fresh"', { result: 'rp+9' });
    assert.equal((await kernel.event('message')).body, '#"fresh"');
    assert.equal(await kernel.call('audit'), null);
  },

  'we come back without our memory and say so': async (world) => {
    const { kernel, peer } = world;
    const { inFrameOfKernel } = await acquainted(world);
    const { incarnationId } = kernel;
    await kernel.reincarnate();
    const observed = await world.dial();
    assert.equal(observed, kernel.incarnationId);
    assert.notEqual(observed, incarnationId);
    // An incumbent that sees another incarnation begins anew with it, as one that was reborn.
    peer.beginAnew();
    await peer.deliverMessage(inFrameOfKernel, '#"stale"');
    assert.equal((await kernel.event('messageRejected')).seq, 1, 'it knows no such object');
    const { seq, params } = await peer.receive();
    assert.deepEqual([seq, params[0], params[1][0][1]], [1, 'notify', true]);
    await world.objectOfKernel();
  },
};
