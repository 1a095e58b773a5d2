// A page with nothing but js-libp2p, which answers each JSON frame with another, or sends them, as its address says after `#`. The
// frames are those that two kernels would exchange for a call. What the script outside calls is `globalThis.party`.

import { connect, listen } from '../../network/theirs.mjs';
import { answerTo, body } from './body.mjs';
import { Flow, Flows, oneAfterTheOther } from './load.mjs';

/** Frames that may be under way: as many as a kernel's `maxQueue` lets through. */
const WINDOW = 200;

const { relay, peer } = JSON.parse(decodeURIComponent(location.hash.slice(1)));

const question = (number, text) => JSON.stringify({
  seq: number,
  ack: number - 1,
  method: 'deliver',
  params: ['message', 'ro+1', { methargs: { body: text, slots: [] }, result: `rp-${number}` }],
});

/** The answer to a question, as the kernel of the other end would write it. */
function answer(frame) {
  const { seq, params: [, , { methargs, result }] } = JSON.parse(frame);
  const settled = [result.replace('-', '+'), false, { body: answerTo(methargs.body), slots: [] }];
  return JSON.stringify({ seq, ack: seq, method: 'deliver', params: ['notify', [settled]] });
}

/** Sends questions; answers come in their order. */
class Asker {
  #waiting = [];
  #underWay = 0;
  #onRoom = () => {};
  #channel;
  #lastNumber = 0;
  #flows;

  async start() {
    this.#channel = await connect(undefined, peer, (text) => {
      const { answer, resolve, reject } = this.#waiting.shift();
      const { params: [, [[, , { body: given }]]] } = JSON.parse(text);
      given === answer ? resolve() : reject(new Error(`answered with ${given}`));
    });
    return this;
  }

  async #call(bytes) {
    this.#lastNumber += 1;
    const text = body(this.#lastNumber, bytes);
    const answered = new Promise((resolve, reject) => this.#waiting.push({ answer: answerTo(text), resolve, reject }));
    this.#underWay += 1;
    await Promise.all([this.#channel.send(question(this.#lastNumber, text)), answered]);
    this.#underWay -= 1;
    this.#onRoom();
  }

  async #ready() {
    while (this.#underWay >= WINDOW) {
      await new Promise((resolve) => (this.#onRoom = resolve));
    }
  }

  oneAfterTheOther(_targets, bytes, forMs) {
    return oneAfterTheOther(() => this.#call(bytes), forMs);
  }

  begin(_targets, bytes) {
    this.#flows = new Flows([new Flow(() => this.#ready(), () => this.#call(bytes))]);
  }

  count() {
    return this.#flows.count();
  }

  end() {
    return this.#flows.end();
  }
}

async function start() {
  if (peer === undefined) {
    return { address: await listen(relay, answer) };
  }
  const asker = await new Asker().start();
  return { call: async (name, ...args) => asker[name](...args) };
}

globalThis.party = start();
