// The sum of all messages of the page.

import { count, html, write } from './dom.js';

/**
 * The sum of all messages, in words and numbers.
 * @param {HTMLElement} list
 * @param {import('./ledger.js').Tally} tally
 */
export function showTally(list, tally) {
  const { sent, delivered, waiting, reported, gone, lost, doubled, outOfOrder, stale } = tally;
  /** @type {[string, number, string, string][]} */
  const rows = [
    ['Sent', sent, '', 'by programs of this page'],
    ['Delivered', delivered, '', 'taken by the program that they were sent to'],
    ['Underway', waiting, '', 'neither delivered nor reported yet'],
    ['Reported', reported + gone, '', 'not known to have been delivered, and the sender was told; or its life had ended'],
    ['Lost', lost, lost > 0 ? 'bad' : 'good', 'neither delivered nor reported'],
    ['Doubled', doubled, doubled > 0 ? 'bad' : 'good', 'delivered twice'],
    ['Reordered', outOfOrder, outOfOrder > 0 ? 'bad' : 'good', 'delivered after a later one'],
    ['Stale', stale, stale > 0 ? 'bad' : 'good', 'delivered to another life than the one they were sent to'],
  ];
  if (list.childElementCount === 0) {
    list.append(...rows.map(([name, , , what]) => html('div', { title: what }, html('dt', {}, name), html('dd'))));
  }
  rows.forEach(([, value, look], index) => {
    const row = list.children[index];
    write(/** @type {Element} */ (row.lastElementChild), count(value));
    row.className = look;
  });
}
