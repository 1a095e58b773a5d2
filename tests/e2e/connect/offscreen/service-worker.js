// Opens the offscreen document in every way that a service worker may happen to.

import { openOffscreenDocument } from './js/connect.js';

const DOCUMENT = 'document.html';
const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const outcome = (promise) => promise.then(() => 'open', ({ message }) => message);
const answer = (promise) => promise.catch(({ message }) => message);

/** Opens, and asks at once whether the document hears. */
async function openAndAsk(delay = 0) {
  await after(delay);
  await openOffscreenDocument(DOCUMENT);
  return chrome.runtime.sendMessage('hello');
}

const close = () => chrome.offscreen.closeDocument();
/** As a former life of this service worker did, of which this one knows nothing. */
const openBefore = () => void chrome.offscreen.createDocument({ url: DOCUMENT, reasons: ['WORKERS'], justification: 'a former life' });

self.cases = {
  atOnce: () => Promise.all([0, 0, 5, 20, 40].map((delay) => answer(openAndAsk(delay)))),
  again: async () => [await answer(openAndAsk())],
  byAFormerLife: async () => {
    const answers = [];
    for (const delay of [0, 5, 20, 40, 80]) {
      await close();
      openBefore();
      answers.push(await answer(openAndAsk(delay)));
    }
    return answers;
  },
  another: () => outcome(openOffscreenDocument('another.html')),
  twoOthersAtOnce: async () => {
    await close();
    return Promise.all([outcome(openOffscreenDocument(DOCUMENT)), outcome(openOffscreenDocument('another.html'))]);
  },
  missing: async () => {
    await close();
    return outcome(openOffscreenDocument('https://elsewhere.example/'));
  },
};
