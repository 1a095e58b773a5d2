// Measures the store and SQLite side by side in one headless Chromium, and prints the rows as one line of JSON. A ratio
// above 1 always means that ours is better.
//
// usage: node store.mjs <folder of the wasm-pack build> <rounds>

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { CHROMIUM, CHROMIUM_FLAGS } from '../../www/story/stage.mjs';
import { serveFolders } from './site.mjs';

const [folder, rounds] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const FOLDERS = {
  ours: folder,
  sqlite: dirname(fileURLToPath(import.meta.resolve('@sqlite.org/sqlite-wasm'))),
  bench: here,
};
/** Files of the origin are there for secure contexts only. */
const site = await serveFolders(FOLDERS);
/** Only a profile on the disk has files of the origin on the disk: in a context of Playwright's own they are in memory. */
const profile = await mkdtemp(join(tmpdir(), 'ocap-remotes-bench-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: CHROMIUM,
  args: CHROMIUM_FLAGS,
});

/** How to name each figure, whether more of it is better, and how many digits matter. */
const FIGURES = {
  transactions: ['durable/transactions', true, '/s', 0],
  gets: ['durable/gets', true, '/s', 0],
  bytes: ['durable/bytes written', false, 'bytes/transaction', 0],
  flushes: ['durable/flushes', false, 'flushes/transaction', 2],
  open: ['durable/open 100,000 rows', false, 'ms', 1],
  reopen: ['durable/open 100,000 rows after a Worker was ended', false, 'ms', 1],
  size: ['durable/size after 100,000 messages through a queue of 200', false, 'KB', 0],
  memoryTransactions: ['memory/transactions', true, '/s', 0],
  memoryGets: ['memory/gets', true, '/s', 0],
};

/** A figure of ours beside theirs. */
function row(figure, journal, ours, theirs) {
  const [name, more, unit, digits] = FIGURES[figure];
  const round = (value, digits) => Number(value.toFixed(digits));
  const ratio = round(more ? ours / theirs : theirs / ours, 2);
  const full = journal ? `${name}, ${journal}` : name;
  return { name: full, ours: round(ours, digits), theirs: round(theirs, digits), ratio, unit };
}

/** A row for each figure beside SQLite's better journal, then those beside the other one, which says so in its name. */
function rowsOf({ ours, wal, delete: rollback, ourMemory, theirMemory }) {
  const byJournal = [['WAL', wal], ['rollback journal', rollback]];
  const [better, other] = byJournal.sort(([, one], [, two]) => two.transactions - one.transactions);
  const beside = (name, ours, theirs) => Object.keys(ours).map((key) => row(key, name, ours[key], theirs[key]));
  return [...beside('', ours, better[1]), ...beside('', ourMemory, theirMemory), ...beside(other[0], ours, other[1])];
}

try {
  const page = await browser.newPage();
  await page.goto(site.url);
  const medians = await page.evaluate(async (rounds) => {
    const { measure } = await import('/bench/store-page.mjs');
    return measure(rounds);
  }, Number(rounds));
  console.log(JSON.stringify(rowsOf(medians)));
} finally {
  await browser.close();
  site.close();
  await rm(profile, { recursive: true, force: true });
}
