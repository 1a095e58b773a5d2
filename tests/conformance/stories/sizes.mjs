// Messages as long as may be, and longer (protocol §2).

import assert from 'node:assert/strict';
const LIMIT = 1024 * 1024;
/** What our kernel leaves for the rest of a message, whatever its references are called. */
const RESERVE = 256;

/** A body with which a message has so many bytes. */
const bodyFor = (bytes, ofEmpty) => 'x'.repeat(bytes - ofEmpty);

const bytesOf = (message) => new TextEncoder().encode(JSON.stringify(message)).length;

export const sizes = {
  'messages of 1 MiB pass in both directions': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const { inFrameOfKernel } = await world.objectOfKernel();
    const theirs = await world.objectOfPeer();

    const message = (body) => ['message', inFrameOfKernel, { methargs: { body, slots: [] }, result: 'rp+1' }];
    const empty = bytesOf({ seq: 3, ack: 2, method: 'deliver', params: message('') });
    const body = bodyFor(LIMIT, empty);
    await peer.acknowledged(await peer.deliver(...message(body)));
    assert.equal((await kernel.event('message')).body, body);

    await kernel.send(theirs, bodyFor(LIMIT, RESERVE));
    const longest = await peer.receive('a long message');
    assert.ok(bytesOf(longest) > LIMIT - RESERVE && bytesOf(longest) <= LIMIT, `${bytesOf(longest)} bytes`);
    assert.equal(longest.params[2].methargs.body, bodyFor(LIMIT, RESERVE));
  },

  'a message that would be longer is refused before it has a number': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const theirs = await world.objectOfPeer();
    await assert.rejects(kernel.send(theirs, bodyFor(LIMIT, 0)), { name: 'ResourceLimitError' });
    await kernel.send(theirs, '#"short"');
    assert.equal((await peer.receive()).params[2].methargs.body, '#"short"');
  },

  'a frame that announces more ends its channel, and what was sent before is safe': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const { inFrameOfKernel } = await world.objectOfKernel();
    await peer.deliverMessage(inFrameOfKernel, '#"before"');
    const oversized = peer.prepare('deliver', ['message', inFrameOfKernel, { methargs: { body: bodyFor(LIMIT, 0), slots: [] }, result: 'rp+2' }]);
    await peer.channel.write(oversized).catch(() => {}); // The other end may reset the stream in the middle.
    await peer.channel.ended();
    assert.equal((await kernel.event('message')).body, '#"before"');

    peer.forget(oversized.seq);
    await world.dial();
    await peer.deliverMessage(inFrameOfKernel, '#"after"', { result: 'rp+3' });
    assert.equal((await kernel.event('message')).body, '#"after"');
  },

  'a length that is none ends its channel': async (world) => {
    await world.dial();
    await world.peer.channel.writeBytes(new Uint8Array(16).fill(0xff));
    await world.peer.channel.ended();
    await world.dial();
    await world.objectOfKernel();
  },
};
