// Each kind of command in either direction, as text (protocol §4) and in its effect.

import assert from 'node:assert/strict';
import { flip } from '../support/incumbent.mjs';

const BODY = '#["greet",["Ω"]]';

/** What a message is but for its number and acknowledgement. */
const command = ({ method, params }) => ({ method, params });
const delivery = (...params) => ({ method: 'deliver', params });

export const commands = {
  'redeemURL to us': async (world) => {
    await world.dial();
    const { atPeer } = await world.objectOfKernel();
    assert.equal(atPeer, 'ro+1');
    await world.peer.send('redeemURL', [`ocap:zForged@${world.kernel.peerId}`, 'b']);
    const { method, params } = await world.peer.receive();
    assert.deepEqual([method, ...params.slice(0, 2)], ['redeemURLReply', false, 'b']);
    assert.ok(params.length === 3 && params[2].length > 0);
  },

  'redeemURL from us': async (world) => {
    const { kernel, peer } = world;
    await world.introduce();
    const url = peer.url();
    const [granted, refused] = [0, 1].map(() => kernel.call('redeemOcapUrl', { url }));
    const refusal = assert.rejects(refused, /RedemptionError.*no such object/s);
    await peer.accept();
    const keys = [];
    for (const _ of [granted, refused]) {
      const { method, params } = await peer.receive();
      assert.deepEqual([method, params[0], params.length], ['redeemURL', url, 2]);
      keys.push(params[1]);
    }
    assert.notEqual(keys[0], keys[1]);
    await peer.send('redeemURLReply', [false, keys[1], 'no such object']);
    await peer.send('redeemURLReply', [true, keys[0], 'ro+1']);
    assert.match(await granted, /^ko\d+$/);
    await refusal;
  },

  'message to us, and notify from us': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const { object, inFrameOfKernel } = await world.objectOfKernel();
    await peer.deliverMessage(inFrameOfKernel, BODY, { slots: ['ro+5', inFrameOfKernel], result: 'rp+7' });
    const { target, body, slots, result } = await kernel.event('message');
    assert.deepEqual([target, body, slots[1]], [object, BODY, object]);
    assert.match(slots[0], /^ko\d+$/);

    await kernel.resolve(result, '#"hello"', { slots: [object, slots[0]] });
    const value = { body: '#"hello"', slots: [flip(inFrameOfKernel), 'ro-5'] };
    assert.deepEqual(command(await peer.receive()), delivery('notify', [['rp-7', false, value]]));

    await peer.deliverMessage(inFrameOfKernel, BODY, { result: 'rp+8' });
    await kernel.resolve((await kernel.event('message')).result, '#"no"', { rejected: true });
    const reason = { body: '#"no"', slots: [] };
    assert.deepEqual(command(await peer.receive()), delivery('notify', [['rp-8', true, reason]]));
  },

  'a settled promise may be mentioned for as long as one likes': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const { inFrameOfKernel } = await world.objectOfKernel();
    await peer.deliverMessage(inFrameOfKernel, BODY, { result: 'rp+7' });
    await kernel.resolve((await kernel.event('message')).result, '#"hello"');
    assert.equal((await peer.receive()).params[0], 'notify');
    for (let time = 0; time < 3; time += 1) {
      await peer.deliverMessage(inFrameOfKernel, BODY, { slots: ['rp+7'], result: `rp+${8 + time}` });
      const { slots } = await kernel.event('message');
      const { promise, body } = await kernel.event('notify');
      assert.deepEqual([promise, body], [slots[0], '#"hello"']);
    }
    assert.equal(await kernel.call('audit'), null);
  },

  'message from us, and notify to us': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const theirs = await world.objectOfPeer('ro+3');
    const ours = await kernel.call('exportObject');
    const promise = await kernel.send(theirs, BODY, [ours, theirs]);
    const { method, params } = await peer.receive();
    const [kind, target, { methargs, result }] = params;
    assert.deepEqual([method, kind, target], ['deliver', 'message', 'ro-3']);
    assert.deepEqual(Object.keys(params[2]), ['methargs', 'result']);
    assert.deepEqual(methargs, { body: BODY, slots: ['ro+1', 'ro-3'] });
    assert.match(result, /^rp\+\d+$/);

    await peer.deliver('notify', [[flip(result), false, { body: '#"hello"', slots: ['ro-1', 'ro+4'] }]]);
    const { type, slots, ...outcome } = await kernel.event('notify');
    assert.deepEqual([type, outcome], ['notify', { promise, rejected: false, body: '#"hello"' }]);
    assert.equal(slots[0], ours);
    assert.equal(await kernel.call('audit'), null);
  },

  'dropExports and retireExports to us': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const { object, atPeer } = await world.objectOfKernel();
    await kernel.call('release', { references: [object] });
    // Fault: what it drops it names as it sees it itself.
    await peer.deliver('dropExports', [atPeer]);
    await peer.acknowledged(await peer.deliver('retireExports', [atPeer]));
    assert.deepEqual((await kernel.event('retired')).objects, [object]);
    assert.equal(await kernel.call('audit'), null);
  },

  'dropExports and retireExports from us': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const object = await world.objectOfPeer('ro+1');
    await kernel.call('release', { references: [object] });
    assert.deepEqual(command(await peer.receive()), delivery('dropExports', ['ro-1']));
    assert.deepEqual(command(await peer.receive()), delivery('retireExports', ['ro-1']));
    assert.equal(await kernel.call('audit'), null);
  },

  'objects that are dropped together are told one in a turn of the kernel': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const { inFrameOfKernel } = await world.objectOfKernel();
    const objects = [];
    for (const name of ['ro+1', 'ro+2', 'ro+3']) {
      objects.push(await world.objectOfPeer(name));
    }
    await kernel.call('release', { references: objects });
    for (const [turn, name] of ['ro-1', 'ro-2', 'ro-3'].entries()) {
      assert.deepEqual(command(await peer.receive()), delivery('dropExports', [name]));
      assert.deepEqual(command(await peer.receive()), delivery('retireExports', [name]));
      await peer.channel.staysQuiet(200);
      await peer.deliverMessage(inFrameOfKernel, BODY, { result: `rp+${turn + 1}` });
    }
    assert.equal(await kernel.call('audit'), null);
  },

  'calls beyond what it bears wait for its answers': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const object = await world.objectOfPeer('ro+1');
    await Promise.all(Array.from({ length: 190 }, () => kernel.send(object, BODY)));
    const results = [];
    const receive = async () => results.push((await peer.receive()).params[2].result);
    for (let call = 0; call < 64; call += 1) {
      await receive();
    }
    await peer.channel.staysQuiet(200);
    for (let answered = 0; answered < 190; answered += 1) {
      await peer.deliver('notify', [[flip(results[answered]), false, { body: `#${answered}`, slots: [] }]]);
      if (results.length < 190) {
        await receive();
      }
    }
    for (let answered = 0; answered < 190; answered += 1) {
      assert.equal((await kernel.event('notify')).body, `#${answered}`);
    }
  },

  'retireImports to us, and from us to somebody else': async (world) => {
    const { kernel, peer } = world;
    const other = await world.startPeer();
    await world.dial();
    await world.dial(other);
    const object = await world.objectOfPeer('ro+1');
    await kernel.send(await world.objectOfPeer('ro+2', other), '#["take",[]]', [object]);
    const [given] = (await other.receive()).params[2].methargs.slots;
    assert.equal(given, 'ro+1');

    await other.acknowledged(await other.deliver('dropExports', [given]));
    await kernel.call('release', { references: [object] });
    assert.deepEqual(command(await peer.receive()), delivery('dropExports', ['ro-1']));
    await peer.deliver('retireImports', ['ro-1']);
    assert.deepEqual(command(await other.receive()), delivery('retireImports', [given]));
    assert.equal(await kernel.call('audit'), null);
  },

  'an outcome that comes back from who was told it is no fault': async (world) => {
    const { kernel, peer } = world;
    const other = await world.startPeer();
    await world.dial();
    await world.dial(other);
    const promise = await kernel.send(await world.objectOfPeer('ro+2', other), BODY);
    const { result } = (await other.receive()).params[2];
    await kernel.send(await world.objectOfPeer('ro+3'), BODY, [promise]);
    const [passed] = (await peer.receive()).params[2].methargs.slots;
    await other.deliver('notify', [[flip(result), false, { body: '#"hello"', slots: [] }]]);
    const outcome = [passed, false, { body: '#"hello"', slots: [] }];
    assert.deepEqual(command(await peer.receive()), delivery('notify', [outcome]));
    await peer.acknowledged(await peer.deliver('bringOutYourDead'));
    assert.deepEqual(kernel.events('messageRejected'), []);
    assert.equal((await kernel.remote(peer.peerId)).rejected, 0);
  },

  'bringOutYourDead to us is not sent back': async (world) => {
    await world.dial();
    const { peer } = world;
    assert.equal((await peer.acknowledged(await peer.deliver('bringOutYourDead'))).seq, undefined);
    await peer.channel.staysQuiet(200);
  },

  'bringOutYourDead from us': async (world) => {
    await world.dial();
    await world.objectOfKernel();
    await world.kernel.call('reap', { peerId: world.peer.peerId });
    assert.deepEqual(command(await world.peer.receive()), delivery('bringOutYourDead'));
  },

  'a command that nobody knows is neither taken nor in the way': async (world) => {
    const { kernel, peer } = world;
    await world.dial();
    const { inFrameOfKernel } = await world.objectOfKernel();
    await peer.deliver('dropExports', ['ro+99']);
    await peer.deliver('explode', [inFrameOfKernel], 1);
    await peer.send('tomorrow', { a: 1 });
    for (const _ of [1, 2, 3]) {
      assert.equal((await kernel.event('messageRejected')).peerId, peer.peerId);
    }
    await peer.deliver('message', inFrameOfKernel, { methargs: { body: 7, slots: [] }, result: 'rp+9' });
    assert.deepEqual((await peer.receive()).params[1][0].slice(0, 2), ['rp-9', true]);
    await peer.deliverMessage(inFrameOfKernel, BODY);
    assert.equal((await kernel.event('message')).body, BODY);
  },
};
