// Circuits that their js-libp2p relay cuts at a limit: the kernel moves its channel before (protocol §11).

import assert from 'node:assert/strict';
import { sleep } from '../support/wait.mjs';

const bodyOf = ({ params }) => params[2].methargs.body;

/**
 * The kernel sends while the peer reads and takes every channel that is opened, and ends when all have come, in order. Answers how
 * many channels there were, and how many of them were lost: with no other taken in their place by then.
 */
async function sendOver(world, count, pauseMs, body) {
  const { kernel, peer } = world;
  await world.introduce();
  // Whoever opened a channel is the first to move it.
  const redeemed = kernel.call('redeemOcapUrl', { url: peer.url() });
  await peer.accept();
  const { params } = await peer.receive('the request to redeem');
  await peer.send('redeemURLReply', [true, params[1], 'ro+1']);
  const object = await redeemed;
  let [channels, lost, isOver] = [1, 0, false];
  const accepting = (async () => {
    while (!isOver) {
      const former = peer.channel;
      let isCut = false;
      // In order it ends just before the other is offered: an incumbent has to see that.
      former.ended(120_000).then((error) => (isCut = error.name !== 'UnexpectedEOFError'), () => {});
      await peer.accept(60_000);
      channels += 1;
      lost += Number(isCut);
    }
  })();
  accepting.catch(() => {}); // It waits for one more at the end.
  const sending = async () => {
    for (let number = 1; number <= count; number += 1) {
      await kernel.send(object, body(number));
      await sleep(pauseMs);
    }
  };
  const got = [];
  const receiving = async () => {
    while (got.length < count) {
      try {
        got.push(bodyOf(await peer.receive()));
      } catch (error) {
        if (error instanceof assert.AssertionError) {
          throw error;
        }
        await sleep(20); // The channel has ended; until another is there.
      }
    }
  };
  await Promise.all([sending(), receiving()]);
  isOver = true;
  assert.deepEqual(got, Array.from({ length: count }, (_, index) => body(index + 1)));
  return { channels, lost };
}

export const circuits = {
  /** Neither end of the incumbent opens a stream on a circuit with a limit, however high. */
  async ofTheIncumbent(world) {
    const { kernel, peer } = world;
    let refusal;
    for (let tries = 0; refusal?.name !== 'LimitedConnectionError' && tries < 100; tries += 1) {
      await sleep(50); // Until the kernel has its reservation.
      refusal = await peer.open(world.addressOfKernel).catch((error) => error);
    }
    assert.equal(refusal?.name, 'LimitedConnectionError', String(refusal));
    await world.introduce();
    const redeemed = kernel.call('redeemOcapUrl', { url: peer.url() });
    redeemed.catch(() => {}); // The story is over before it ends.
    await assert.rejects(peer.opened(3_000), /waited 3 s for a channel/);
  },

  async ofTime(world) {
    const { channels, lost } = await sendOver(world, 50, 1_000, (number) => `#${number}`);
    assert.ok(channels >= 2, 'a channel moved before its minute was over');
    assert.equal(lost, 0, 'channels that were cut');
  },

  async ofBytes(world) {
    const { channels, lost } = await sendOver(world, 60, 20, (number) => `#"${String(number).padStart(4_000, ' ')}"`);
    assert.ok(channels >= 4, `240 KB through circuits of 64 KiB took ${channels} channels`);
    assert.equal(lost, 0, 'channels that were cut');
  },
};
