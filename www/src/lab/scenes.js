// Short experiments at the press of a button: each does for a newcomer what the controls do one by one.

import { html } from './dom.js';
import { PROMISES } from './trials.js';
import { sleep, until } from './waiting.js';

/** @typedef {import('./lab-kernel.js').LabKernel} LabKernel */

/** Messages of a scene in which something goes wrong. */
const STREAM = 400;
/** How many of them are delivered by then. */
const MID_STREAM = 60;
/** By when the page has been told of what was sent, in milliseconds. */
const TOLD_MS = 200;
/** How long a kernel or its line is away, in milliseconds. */
const AWAY_MS = 1_500;

/**
 * @typedef {{ lab: import('./lab.js').Lab, from: LabKernel, to: LabKernel, tell: (step: string) => void }} Setting
 *
 * @typedef {object} Scene
 * @property {string} name
 * @property {string} what
 * @property {string} promise
 * @property {(stage: Setting) => Promise<void>} play
 */

/**
 * Sends a stream, and does something to it when it is under way.
 * @param {Setting} stage
 * @param {() => Promise<void>} trouble
 */
async function inMidStream({ lab, from, to, tell }, trouble) {
  const book = from.targets.get(to.name)?.book;
  const before = book?.delivered ?? 0;
  tell(`${from.name} sends ${STREAM} messages to ${to.name}`);
  const sending = lab.send(from, to.name, STREAM);
  // The rest of a stream to a life that has ended cannot be sent, which is as it should be.
  const sent = sending.catch((error) => {
    if (error.name !== 'ReferenceError') {
      throw error;
    }
  });
  sent.catch(() => {}); // waited for below
  await until('the stream to be under way', () => (book?.delivered ?? 0) - before >= MID_STREAM);
  await trouble();
  await sent;
  tell('waiting for the rest');
  await sleep(TOLD_MS);
  await until('every message to be delivered or reported', () => lab.ledger.tally().waiting === 0);
}

/** @type {Scene[]} */
export const SCENES = [
  {
    name: 'Send 1,000',
    what: 'A stream of messages, each answered.',
    promise: PROMISES.send,
    async play({ lab, from, to, tell }) {
      tell(`${from.name} sends 1,000 messages to ${to.name}`);
      await lab.send(from, to.name, 1_000);
      await sleep(TOLD_MS);
      await until('every message to be delivered or reported', () => lab.ledger.tally().waiting === 0);
    },
  },
  {
    name: 'Cut the line in mid-stream',
    what: 'Sockets close while messages are on their way.',
    promise: PROMISES.heal,
    play: (stage) => inMidStream(stage, async () => {
      const { lab, to, tell } = stage;
      tell(`the line of ${to.name} is cut`);
      await lab.setLine(to, { cut: true }, 'its line was cut');
      await sleep(AWAY_MS);
      tell(`the line of ${to.name} is healed`);
      await lab.setLine(to, { cut: false }, 'its line was healed');
    }),
  },
  {
    name: 'Kill one that remembers',
    what: 'Its Worker is terminated; its store is durable.',
    promise: PROMISES.killDurable,
    play: (stage) => inMidStream(stage, async () => {
      const { lab, to, tell } = stage;
      tell(`${to.name} is killed`);
      lab.kill(to);
      await sleep(AWAY_MS);
      tell(`${to.name} is started on its store`);
      await lab.revive(to);
    }),
  },
  {
    name: 'Kill one that forgets',
    what: 'Its store goes with it: the same key, another life.',
    promise: PROMISES.wipe,
    play: (stage) => inMidStream(stage, async () => {
      const { lab, to, tell } = stage;
      tell(`${to.name} is killed`);
      lab.kill(to);
      await sleep(AWAY_MS);
      tell(`${to.name} is started on an empty store`);
      await lab.revive(to, { wipe: true });
    }),
  },
];

/**
 * @param {HTMLElement} container
 * @param {(scene: Scene) => void} play
 * @param {() => void} compare
 */
export function showScenes(container, play, compare) {
  const button = (/** @type {string} */ name, /** @type {string} */ what, /** @type {() => void} */ action) => {
    const made = html('button', { type: 'button', class: 'scene' }, html('b', {}, name), html('span', {}, what));
    made.addEventListener('click', action);
    return made;
  };
  container.append(
    ...SCENES.map((scene) => button(scene.name, scene.what, () => play(scene))),
    button('Compare with accepting gaps', 'Messages vanish: what the incumbent’s rule makes of it, and what ours.', compare),
  );
}
