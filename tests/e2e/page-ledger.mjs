// The page's own books: what they call lost, doubled, reordered and stale.

import { Book } from '../../www/src/lab/ledger.js';
import { equal } from '../../www/story/tally.mjs';

const open = () => new Book(1, { from: 'A', to: 'B', toIncarnation: 'b1', isComparison: false });

/** @param {Book} book @param {number} count */
function send(book, count) {
  for (let n = 1; n <= count; n += 1) {
    book.markSent(n);
  }
}

const NOTHING = { sent: 0, delivered: 0, reported: 0, waiting: 0, gone: 0, lost: 0, doubled: 0, outOfOrder: 0, stale: 0 };

export async function theBooksOfThePage() {
  const good = open();
  send(good, 4);
  good.markReceived(1, 'b1');
  good.markSettled(1, false);
  good.markSettled(2, false); // its answer is told before its reception
  good.markReceived(2, 'b1');
  good.markSettled(3, true);
  equal(good.tally(), { ...NOTHING, sent: 4, delivered: 2, reported: 1, waiting: 1 }, 'a good book');
  good.markReceived(3, 'b1'); // delivered although it was reported, which is allowed
  equal(good.tally(), { ...NOTHING, sent: 4, delivered: 3, waiting: 1 }, 'a book with a late delivery');
  good.endOfSender();
  equal(good.tally(), { ...NOTHING, sent: 4, delivered: 3, gone: 1 }, 'a book whose sender is gone');
  good.markReceived(4, 'b1'); // it was on its way
  equal(good.tally(), { ...NOTHING, sent: 4, delivered: 4 }, 'a book whose sender is gone and whose last message is not');

  const untold = open();
  untold.markReceived(1, 'b1');
  equal(untold.tally(), { ...NOTHING, sent: 1, delivered: 1 }, 'what a sender that was killed had no time to tell');

  const bad = open();
  send(bad, 5);
  bad.markReceived(2, 'b1');
  bad.markReceived(2, 'b1');
  bad.markReceived(4, 'b1');
  bad.markReceived(3, 'b1');
  bad.markReceived(5, 'b2');
  equal(bad.tally(), { ...NOTHING, sent: 5, delivered: 3, waiting: 2, doubled: 1, outOfOrder: 1, stale: 1 }, 'a bad book');
  equal(lostLater(bad), 1, 'what was overtaken and never reported');

  // Its receiver is killed before it can tell of the first three, and takes more when it is back.
  const killed = open();
  send(killed, 5);
  killed.endOfReceiver();
  killed.markReceived(4, 'b1');
  equal(lostLater(killed), 0, 'what a receiver that was killed may have taken');
  killed.markSettled(1, false);
  killed.markSettled(3, false);
  equal(lostLater(killed), 1, 'what it would have answered before');
  killed.markReceived(5, 'b1');
  killed.markSettled(2, false);
  equal(lostLater(killed), 0, 'what it answered after all');
}

/** @param {Book} book that is looked at when reports have had their time */
function lostLater(book) {
  const { now } = Date;
  try {
    Date.now = () => now() + 10_000;
    return book.tally().lost;
  } finally {
    Date.now = now;
  }
}
