// The story: two kernels, a relay that dies, and a peer that comes back without its memory.

import { setTimeout as sleep } from 'node:timers/promises';
import { equal, numbers, Tally } from './tally.mjs';

/** Messages in each direction, in each of the three rounds. */
const ROUND = 100;
/** Pause between two messages of a stream, so that it lasts long enough to be interrupted in the middle. */
const STREAM_PAUSE_MS = 50;
/** How much of a stream has arrived when the relay is killed. */
const MID_STREAM = 20;
/** How long the relay is away. */
const OUTAGE_MS = 1_000;
/** Held messages that B receives, and then as many that never leave A. */
const HELD = 5;

// Every number is sent in one direction once, so that each record tells by itself where it comes from.
const FIRST = numbers(1, ROUND);
const STREAM = numbers(ROUND + 1, 2 * ROUND);
const FRESH = numbers(2 * ROUND + 1, 3 * ROUND);
const HELD_BY_B = numbers(1_001, 1_000 + HELD);
const NEVER_SENT = numbers(2_001, 2_000 + HELD);

/**
 * @typedef {import('./stage.mjs').Stage} Stage
 * @typedef {import('./tab.mjs').Tab} Tab
 * @typedef {object} Result the last line of the demo
 * @property {number} delivered messages that reached the program they were sent to
 * @property {number} duplicates
 * @property {number} lost
 * @property {number} outOfOrder
 * @property {number} staleDelivered messages to B's former incarnation that reached the present one
 * @property {number} restartsDetected how often A was told that B restarted
 * @property {number} promisesRejected promises that A's program saw rejected because B restarted
 * @property {number} recoveryMs from the relay being ready again to the next message delivered
 */

/**
 * Waits until the last of `sent` reached the receiver's program, and every answer the sender's.
 * @param {Stage} stage
 * @param {Tab} from
 * @param {Tab} to
 * @param {number[]} sent
 * @param {number} seconds
 */
export async function settled(stage, from, to, sent, seconds) {
  const last = sent.at(-1);
  await stage.waitFor(`${to.name} to receive ${last}`, seconds, async () => (await to.received()).some(({ value }) => value === last));
  await stage.waitFor(`${from.name} to learn what ${last} came to`, seconds, async () =>
    (await from.outcomes()).some(({ value }) => value === last));
  const outcomes = (await from.outcomes()).filter(({ value }) => sent.includes(/** @type {number} */ (value)));
  const answered = outcomes.map(({ value, rejected, answer }) => ({ value, rejected, answer }));
  equal(answered, sent.map((value) => ({ value, rejected: false, answer: value })), `answers to ${from.name}`);
}

/**
 * @param {Stage} stage
 * @param {(line: string) => void} tell
 * @returns {Promise<Result>}
 */
export async function tellStory(stage, tell) {
  const { relay } = stage;
  const tally = new Tally();

  const a = await stage.openTab('A', 'window');
  const b = await stage.openTab('B', 'worker');
  const [identityOfA, identityOfB] = [await a.call('state'), await b.call('state')];
  tell(`A runs as ${identityOfA.peerId}: network in the window, relay over webrtc-direct`);
  tell(`B runs as ${identityOfB.peerId}: network in a second Worker, relay over ws`);

  const urlOfA = await a.call('url');
  const aForB = await b.call('redeem', urlOfA);
  tell(`B redeemed A's URL and holds A's greeter as ${aForB}`);
  const bForA = await a.call('redeem', await b.call('url'));
  tell(`A redeemed B's URL and holds B's greeter as ${bForA}`);

  /**
   * Both send the same numbers to each other at the same time.
   * @param {number[]} sent
   * @param {{ toA: string, toB: string, pauseMs?: number }} references
   */
  const exchange = (sent, { toA, toB, pauseMs }) =>
    Promise.all([
      a.call('sendNumbers', toB, sent[0], sent.at(-1), pauseMs),
      b.call('sendNumbers', toA, sent[0], sent.at(-1), pauseMs),
    ]);
  /**
   * @param {number[]} sent
   * @param {number} seconds
   */
  const bothSettled = (sent, seconds) =>
    Promise.all([settled(stage, a, b, sent, seconds), settled(stage, b, a, sent, seconds)]);

  await exchange(FIRST, { toA: aForB, toB: bForA });
  await bothSettled(FIRST, 60);
  tell(`${ROUND} messages each way: all delivered and answered`);

  // The relay dies in mid-stream.
  const streamed = exchange(STREAM, { toA: aForB, toB: bForA, pauseMs: STREAM_PAUSE_MS });
  streamed.catch(() => {}); // waited for below, unless something else fails first
  const arrived = async (/** @type {Tab} */ tab) =>
    (await tab.numbers()).filter((number) => STREAM.includes(number)).length;
  await stage.waitFor('both streams to be under way', 30, async () =>
    (await arrived(a)) >= MID_STREAM && (await arrived(b)) >= MID_STREAM);
  await relay.kill();
  const [atA, atB] = [await arrived(a), await arrived(b)];
  tell(`the relay was killed when ${atA} of ${ROUND} had reached A and ${atB} of ${ROUND} B`);
  if (atA >= ROUND || atB >= ROUND) {
    throw new Error('the streams were over before the relay was killed');
  }
  await sleep(OUTAGE_MS);
  await relay.start();
  const readyAt = Date.now();
  tell('the relay is back under the same addresses');
  await streamed;
  await bothSettled(STREAM, 90);
  const deliveries = [...(await a.received()), ...(await b.received())].map(({ at }) => at);
  const recoveryMs = Math.min(...deliveries.filter((at) => at >= readyAt)) - readyAt;
  tell(`all ${ROUND} messages each way arrived; the first after ${recoveryMs} ms`);

  // B holds some promises unsettled, and some messages to it never leave.
  const promises = [];
  const hold = async (/** @type {number} */ number) => promises.push(await a.call('send', bForA, 'hold', number));
  for (const number of HELD_BY_B) {
    await hold(number);
  }
  await stage.waitFor('B to hold promises of A', 30, async () => (await b.numbers()).at(-1) === HELD_BY_B.at(-1));
  await stage.waitFor('A to have everything acknowledged', 30, async () => (await a.pending()) === 0);
  tally.add([...FIRST, ...STREAM, ...HELD_BY_B], await b.numbers());
  await b.call('stop');
  for (const number of NEVER_SENT) {
    await hold(number);
  }
  equal(await a.pending(), NEVER_SENT.length, 'messages of A that are pending');
  tell(`B is to answer ${HELD_BY_B.length} messages; it is gone with its memory, and ${NEVER_SENT.length} more are pending at A`);

  // B comes back as somebody who remembers nothing.
  await b.call('start');
  const newB = await b.call('state');
  equal(newB.peerId, identityOfB.peerId, "B's peer id after the restart");
  if (newB.incarnationId === identityOfB.incarnationId) {
    throw new Error('B came back with the incarnation that it had');
  }
  tell(`B is back under the same peer id, with incarnation ${newB.incarnationId}`);
  const aForNewB = await b.call('redeem', urlOfA);
  await stage.waitFor('A to be told that B restarted', 60, async () => (await a.restarts()).length > 0);
  const [{ formerIncarnation, incarnation, discarded, promisesRejected: counted }] = await a.restarts();
  equal([formerIncarnation, incarnation], [identityOfB.incarnationId, newB.incarnationId], 'incarnations that A was told');
  equal(discarded, NEVER_SENT.length, 'messages that A discarded');
  equal(counted, promises.length, 'promises that A rejected');
  const rejected = async () =>
    (await a.outcomes()).filter(({ rejected, answer }) =>
      rejected && String(/** @type {any} */ (answer)['#error']).startsWith('[KERNEL:PEER_RESTARTED]'));
  await stage.waitFor("A's program to see the promises rejected", 30, async () => (await rejected()).length >= promises.length);
  equal((await rejected()).map(({ promise }) => promise).sort(), promises.sort(), 'promises that were rejected');
  tell(`A was told of the restart: ${discarded} pending messages discarded, ${promises.length} promises rejected`);

  const newBForA = await a.call('redeem', await b.call('url'));
  tell(`A redeemed a fresh URL of B and holds B's new greeter as ${newBForA}`);
  await exchange(FRESH, { toA: aForNewB, toB: newBForA });
  await bothSettled(FRESH, 60);
  tell(`${ROUND} fresh messages each way: all delivered and answered`);

  tally.add(FRESH, await b.numbers());
  tally.add([...FIRST, ...STREAM, ...FRESH], await a.numbers());
  equal(await b.restarts(), [], 'restarts that B was told of');
  const restartsDetected = (await a.restarts()).length;
  return { ...tally, restartsDetected, promisesRejected: (await rejected()).length, recoveryMs };
}

/**
 * Fails unless the result is that of a story in which all went well.
 * @param {Result} result
 */
export function check(result) {
  const { recoveryMs, ...counts } = result;
  equal(
    counts,
    {
      delivered: 6 * ROUND + HELD,
      duplicates: 0,
      lost: 0,
      outOfOrder: 0,
      staleDelivered: 0,
      restartsDetected: 1,
      promisesRejected: 2 * HELD,
    },
    'the outcome',
  );
  if (!Number.isFinite(recoveryMs) || recoveryMs < 0) {
    throw new Error(`recovery took ${recoveryMs} ms`);
  }
}
