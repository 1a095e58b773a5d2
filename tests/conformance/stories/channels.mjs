// Numbers, acknowledgements, and channels that are lost (protocol §4, §5).

import assert from 'node:assert/strict';
import { flip } from '../support/incumbent.mjs';
import { sleep } from '../support/wait.mjs';

const message = (target, number) => ['message', target, { methargs: { body: `#${number}`, slots: [] }, result: `rp+${number}` }];

/** The bodies of so many messages that the kernel's program got. */
async function bodies(kernel, count) {
  const got = [];
  while (got.length < count) {
    got.push((await kernel.event('message')).body);
  }
  assert.deepEqual(kernel.events('message'), []);
  return got;
}

const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => `#${from + index}`);
const bodyOf = ({ params }) => params[2].methargs.body;

export const channels = {
  'an acknowledgement comes by itself when there is nothing to carry it': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const { inFrameOfKernel } = await world.objectOfKernel();
    let last;
    for (let number = 1; number <= 20; number += 1) {
      last = await peer.deliver(...message(inFrameOfKernel, number));
    }
    assert.deepEqual(await peer.acknowledged(last), { ack: 21 });
    assert.deepEqual(peer.unacknowledged, []);
    assert.deepEqual(await bodies(kernel, 20), numbers(1, 20));
  },

  'an answer carries the acknowledgement': async (world) => {
    await world.dial();
    await world.peer.send('redeemURL', [`ocap:zForged@${world.kernel.peerId}`, 'a']);
    const answer = await world.peer.receive();
    assert.deepEqual([answer.seq, answer.ack], [1, 1]);
  },

  'what is acknowledged is forgotten, and nothing else': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const object = await world.objectOfPeer();
    for (let number = 1; number <= 10; number += 1) {
      await kernel.send(object, `#${number}`);
    }
    for (let number = 1; number <= 10; number += 1) {
      assert.equal(bodyOf(await peer.receive('a message', { acknowledge: false })), `#${number}`);
    }
    await peer.channel.write({ ack: 6 });
    const probe = peer.prepare('deliver', ['bringOutYourDead']);
    await peer.channel.write(probe);
    await peer.acknowledged(probe.seq);
    assert.equal((await kernel.remote(peer.peerId)).pending, 5);
  },

  'repetitions are acknowledged and not delivered': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const { inFrameOfKernel } = await world.objectOfKernel();
    const first = peer.prepare('deliver', message(inFrameOfKernel, 1));
    for (let times = 0; times < 3; times += 1) {
      await peer.transmit(first);
    }
    await peer.acknowledged(first.seq);
    await peer.transmit(first);
    await peer.acknowledged(first.seq);
    assert.deepEqual(await bodies(kernel, 1), ['#1']);
    assert.equal((await kernel.remote(peer.peerId)).duplicates, 3);
  },

  'nothing is delivered or acknowledged past a gap until it is filled': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const { inFrameOfKernel } = await world.objectOfKernel();
    const [one, two, three] = [1, 2, 3].map((number) => peer.prepare('deliver', message(inFrameOfKernel, number)));
    await peer.transmit(one);
    await peer.transmit(three);
    assert.equal((await peer.acknowledged(one.seq)).ack, one.seq);
    assert.deepEqual(await bodies(kernel, 1), ['#1']);
    await peer.transmit(two);
    assert.equal((await peer.acknowledged(three.seq)).ack, three.seq);
    assert.deepEqual(await bodies(kernel, 2), ['#2', '#3']);
  },

  'after a reset everything unacknowledged is written again, in order, before anything new': async (world) => {
    const { kernel, peer } = world;
    await world.introduce();
    await world.dial();
    const object = await world.objectOfPeer();
    for (let number = 1; number <= 5; number += 1) {
      await kernel.send(object, `#${number}`);
    }
    for (let number = 1; number <= 3; number += 1) {
      assert.equal(bodyOf(await peer.receive('a message', { acknowledge: number === 1 })), `#${number}`);
    }
    peer.channel.reset();
    await kernel.send(object, '#6');
    assert.equal(await peer.accept(), kernel.incarnationId);
    const texts = [];
    while (texts.at(-1) !== '#6') {
      texts.push(bodyOf(await peer.channel.read('what is unacknowledged')));
    }
    assert.ok(texts[0] === '#2' || texts[0] === '#1', texts[0]); // The acknowledgement of #1 may have been lost.
    assert.deepEqual(texts.slice(-5), numbers(2, 6));
  },

  'after a reset by the peer its repetitions are dropped, and its new messages taken': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const { inFrameOfKernel } = await world.objectOfKernel();
    for (let number = 1; number <= 3; number += 1) {
      await peer.deliver(...message(inFrameOfKernel, number));
    }
    await bodies(kernel, 3);
    peer.channel.reset();
    await world.dial();
    await peer.retransmit();
    const last = await peer.deliver(...message(inFrameOfKernel, 4));
    await peer.acknowledged(last);
    assert.deepEqual(await bodies(kernel, 1), ['#4']);
  },

  'a peer that closes its channel in order is dialled again when there is something to say': async (world) => {
    const { kernel, peer } = world;
    await world.introduce();
    await world.dial();
    const object = await world.objectOfPeer();
    await peer.channel.close();
    await kernel.send(object, '#1');
    await peer.accept();
    assert.equal(bodyOf(await peer.receive()), '#1');
  },

  'a second channel replaces the first, and nothing is lost': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const object = await world.objectOfPeer();
    const first = peer.channel;
    await world.dial();
    await first.ended();
    await kernel.send(object, '#1');
    assert.equal(bodyOf(await peer.receive()), '#1');
  },

  'a channel that is replaced is not missed by who takes its end for that of the new one': async (world) => {
    const { kernel, peer } = world;
    await world.introduce();
    await world.dial();
    const object = await world.objectOfPeer();
    peer.holdOn(world.addressOfKernel);
    await world.dial();
    await sleep(7_000); // The former channel is read for five seconds.
    assert.equal(peer.channels, 2);
    await kernel.send(object, '#1');
    assert.equal(bodyOf(await peer.receive()), '#1');
  },

  'several handshakes on one stream are one': async (world) => {
    const { kernel, peer } = world;
    await world.dial(peer, undefined, 3);
    const { inFrameOfKernel } = await world.objectOfKernel();
    await peer.acknowledged(await peer.deliver(...message(inFrameOfKernel, 1)));
    assert.deepEqual(await bodies(kernel, 1), ['#1']);
    assert.equal((await kernel.remote(peer.peerId)).malformed, 0);
  },

  'answers behind what an incumbent skips are kept, and what it had not read stays open': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const object = await world.objectOfPeer();
    // What it sends next is too long for its transport, and so never comes.
    const skipped = await peer.deliver('message', 'ro-9', { methargs: { body: 'x'.repeat(2 << 20), slots: [] }, result: 'rp+1' });
    const asked = [];
    for (let number = 1; number <= 3; number += 1) {
      asked.push(await kernel.send(object, `#${number}`));
      const { result } = (await peer.receive()).params[2];
      await peer.deliver('notify', [[flip(result), false, { body: '#"held"', slots: [] }]]);
    }
    asked.push(await kernel.send(object, '#4'));
    await peer.retransmit(); // Its timer.
    const { result } = (await peer.receive()).params[2];
    await peer.deliver('notify', [[flip(result), false, { body: '#"late"', slots: [] }]]);
    const { first, last } = await kernel.event('messagesLost');
    assert.deepEqual([first, last], [skipped, skipped]);
    for (const [index, promise] of asked.entries()) {
      const notify = await kernel.event('notify');
      assert.deepEqual([notify.promise, notify.body], [promise, index < 3 ? '#"held"' : '#"late"']);
    }
    assert.deepEqual(kernel.events('messageRejected'), []);
    // Fault: our acknowledgement beyond the gap makes it believe that the long one arrived.
    await peer.acknowledged(await peer.deliver('bringOutYourDead'));
    assert.deepEqual(peer.unacknowledged, []);
  },

  'numbers that an incumbent abandoned are reported as lost once it begins again above them': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const { inFrameOfKernel } = await world.objectOfKernel();
    peer.prepare('deliver', message(inFrameOfKernel, 1));
    peer.prepare('deliver', message(inFrameOfKernel, 2));
    peer.giveUp();
    peer.channel.reset();
    await world.dial();
    const third = peer.prepare('deliver', message(inFrameOfKernel, 3));
    await peer.transmit(third);
    await peer.transmit(third); // Its timer, after nobody acknowledged.
    await peer.acknowledged(third.seq);
    const { first, last } = await kernel.event('messagesLost');
    assert.deepEqual([first, last], [third.seq - 2, third.seq - 1]);
    assert.deepEqual(await bodies(kernel, 1), ['#3']);
  },

  'a connection closed on purpose stays closed until it is reopened': async (world) => {
    const { kernel, peer } = world;
    await world.introduce();
    await world.dial();
    const object = await world.objectOfPeer();
    await kernel.call('closeConnection', { peerId: peer.peerId });
    await peer.channel.ended();
    const refused = await world.open();
    await refused.write({ method: 'handshake', params: { incarnationId: peer.incarnation } });
    await refused.ended();
    await kernel.call('reconnectPeer', { peerId: peer.peerId, hints: [] });
    await peer.accept();
    await kernel.send(object, '#1');
    assert.equal(bodyOf(await peer.receive()), '#1');
  },
};
