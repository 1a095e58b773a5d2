// The kernel's Worker: a program that answers each message to its object, and calls objects of peers.

import init, { Kernel, openKernelStore } from 'ocap-remotes/kernel';
import { answerCalls, networkPort } from 'ocap-remotes/connect';
import { answerTo, body } from './body.mjs';
import { Flow, Flows, oneAfterTheOther } from './load.mjs';

/** @type {Kernel} */
let kernel;
/** @type {Flows} */
let flows;
let lastNumber = 0;
/** By the promise of the answer: what it has to be, and whom to tell. */
const unanswered = new Map();
/** Events that nothing which is measured here may cause. */
const surprises = [];

/** @param {import('ocap-remotes/kernel').KernelEvent} event */
function onEvent(event) {
  if (event.type === 'message') {
    kernel.resolve(event.result, answerTo(event.body));
  } else if (event.type === 'notify') {
    const { answer, resolve, reject } = unanswered.get(event.promise);
    unanswered.delete(event.promise);
    event.body === answer && !event.rejected ? resolve() : reject(new Error(`answered with ${event.body}`));
  } else {
    surprises.push(event);
  }
}

/** Resolves when the object has answered. */
function call(target, bytes) {
  lastNumber += 1;
  const text = body(lastNumber, bytes);
  const promise = kernel.send(target, text);
  return new Promise((resolve, reject) => unanswered.set(promise, { answer: answerTo(text), resolve, reject }));
}

function checkSurprises() {
  if (surprises.length > 0) {
    throw new Error(`the kernel was told ${JSON.stringify(surprises)}`);
  }
}

answerCalls({
  async start(durability, options) {
    await init();
    // What a program does that wants the defaults: durable without a word.
    const store = durability === 'memory' ? await openKernelStore({ durability }) : undefined;
    kernel = await Kernel.start(await networkPort(), { ...options, onEvent }, store);
  },
  url: () => kernel.issueOcapURL(kernel.exportObject()),
  redeem(url, peerId, hints = []) {
    if (hints.length > 0) {
      kernel.registerLocationHints(peerId, hints);
    }
    return kernel.redeemOcapURL(url);
  },
  call,
  async oneAfterTheOther(target, bytes, forMs) {
    const times = await oneAfterTheOther(() => call(target, bytes), forMs);
    checkSurprises();
    return times;
  },
  begin(targets, bytes) {
    flows = new Flows(targets.map((target) => new Flow(() => kernel.ready(target), () => call(target, bytes))));
  },
  count() {
    checkSurprises();
    return flows.count();
  },
  async end() {
    const total = await flows.end();
    checkSurprises();
    return total;
  },
});
