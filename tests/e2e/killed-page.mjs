// A page is killed while both pages send, and is opened again with the same seed: a store in memory is gone, so that it is a new
// incarnation. The other page survives; it must notice, and nothing of before may reach the new one.

import { randomBytes } from 'node:crypto';
import { onStage } from '../../www/story/stage.mjs';
import { settled } from '../../www/story/story.mjs';
import { equal, numbers } from '../../www/story/tally.mjs';

/** Sent in both directions while the page is killed. */
const STREAM = numbers(1, 150);
const STREAM_PAUSE_MS = 40;
/** How much of it has arrived by then. */
const MID_STREAM = 30;
/** Sent in both directions afterwards. */
const FRESH = numbers(201, 300);

/** What a kernel says of messages to an incarnation that is gone, or to one of its objects. */
const REJECTION = /^\[KERNEL:(PEER_RESTARTED|OBJECT_DELETED)\]/;

/** @typedef {'window' | 'worker'} Arrangement */

/**
 * @param {Arrangement} surviving where the network of the page that survives lives
 * @param {Arrangement} killed where that of the killed page lives
 */
export const aPageKilledInMidStream = (surviving, killed) => () =>
  onStage(async (stage) => {
    const seed = randomBytes(32).toString('hex');
    const survivor = await stage.openTab('survivor', surviving);
    const victim = await stage.openTab('victim', killed, seed);
    const before = await victim.call('state');
    const urlOfSurvivor = await survivor.call('url');
    const toSurvivor = await victim.call('redeem', urlOfSurvivor);
    const toVictim = await survivor.call('redeem', await victim.call('url'));

    const streaming = survivor.call('sendNumbers', toVictim, STREAM[0], STREAM.at(-1), STREAM_PAUSE_MS);
    streaming.catch(() => {}); // waited for below, unless something else fails first
    const cutOff = victim
      .call('sendNumbers', toSurvivor, STREAM[0], STREAM.at(-1), STREAM_PAUSE_MS)
      .then(() => new Error('the page was not killed in mid-stream'), () => undefined);
    await stage.waitFor('the streams to be under way', 30, async () =>
      (await victim.numbers()).length >= MID_STREAM && (await survivor.numbers()).length >= MID_STREAM);
    const receivedByVictim = await victim.numbers();
    await victim.page.close();
    const notCutOff = await cutOff;
    if (notCutOff) {
      throw notCutOff;
    }
    equal(receivedByVictim, STREAM.slice(0, receivedByVictim.length), 'what the page received before it was killed');

    const reopened = await stage.openTab('reopened', killed, seed);
    const after = await reopened.call('state');
    equal(after.peerId, before.peerId, 'the peer id of the page that was opened again');
    const againToSurvivor = await reopened.call('redeem', urlOfSurvivor);
    await stage.waitFor('the survivor to be told of the restart', 90, async () => (await survivor.restarts()).length > 0);
    await streaming;
    await stage.waitFor('the survivor to learn what each message came to', 90, async () =>
      (await survivor.outcomes()).length >= STREAM.length);

    const restarts = (await survivor.restarts()).map(({ formerIncarnation, incarnation }) => [formerIncarnation, incarnation]);
    equal(restarts, [[before.incarnationId, after.incarnationId]], 'restarts that the survivor was told of');
    const outcomes = await survivor.outcomes();
    const answered = outcomes.filter(({ rejected }) => !rejected).map(({ answer }) => answer);
    equal(answered, STREAM.slice(0, answered.length), 'what was answered before the page was killed');
    const rejected = outcomes.filter(({ answer }) => REJECTION.test(String(/** @type {any} */ (answer)['#error'])));
    const unanswered = rejected.map(({ value }) => Number(value)).sort((one, other) => one - other);
    equal(unanswered, STREAM.slice(answered.length), 'what was rejected since');
    equal(await reopened.numbers(), [], 'what of the stream reached the new incarnation');
    const receivedBySurvivor = await survivor.numbers();
    equal(receivedBySurvivor, STREAM.slice(0, receivedBySurvivor.length), 'what the survivor received before');

    const toReopened = await survivor.call('redeem', await reopened.call('url'));
    await Promise.all([
      survivor.call('sendNumbers', toReopened, FRESH[0], FRESH.at(-1)),
      reopened.call('sendNumbers', againToSurvivor, FRESH[0], FRESH.at(-1)),
    ]);
    await Promise.all([
      settled(stage, survivor, reopened, FRESH, 60),
      settled(stage, reopened, survivor, FRESH, 60),
    ]);
    equal(await reopened.numbers(), FRESH, 'what the new incarnation received');
    equal(await survivor.numbers(), [...receivedBySurvivor, ...FRESH], 'what the survivor received in all');
    stage.checkHealth();
  });
