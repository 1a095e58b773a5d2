// Measures the store and SQLite side by side in one headless Chromium, and prints the rows as one line of JSON.
//
// usage: node store.mjs <folder of the wasm-pack build> <rounds>

import { createServer } from 'node:http';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { CHROMIUM_FLAGS } from '../../www/story/stage.mjs';

const [folder, rounds] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const FOLDERS = {
  ours: folder,
  sqlite: dirname(fileURLToPath(import.meta.resolve('@sqlite.org/sqlite-wasm'))),
  bench: here,
};
const TYPES = { '.mjs': 'text/javascript', '.js': 'text/javascript', '.wasm': 'application/wasm' };

/** Files of the origin are there for secure contexts only, and this machine counts as one. */
const server = createServer(async (request, response) => {
  const [, root, ...rest] = normalize(new URL(request.url, 'http://localhost').pathname).split('/');
  try {
    const body = FOLDERS[root] ? await readFile(join(FOLDERS[root], ...rest)) : '<!doctype html><title>bench</title>';
    response.writeHead(200, { 'content-type': TYPES[extname(request.url)] ?? 'text/html' }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
// Files of a context without a profile are in memory.
const profile = await mkdtemp(join(tmpdir(), 'ocap-bench-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROME_BIN ?? '/usr/bin/chromium',
  args: CHROMIUM_FLAGS,
});

/** Everything happens in the page, which has a Worker for each engine; see store-worker.mjs. */
async function measure(rounds) {
  const worker = () => {
    const worker = new Worker('/bench/store-worker.mjs', { type: 'module' });
    const call = (...message) =>
      new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
        worker.onerror = (event) => reject(new Error(event.message));
        worker.postMessage(message);
      });
    return { call, end: () => worker.terminate() };
  };
  const median = (numbers) => numbers.toSorted((one, other) => one - other)[numbers.length >> 1];
  const ENGINES = [['ours'], ['theirs', 'delete'], ['theirs', 'wal']];
  /** Figures by what was measured and by engine, one for each round. */
  const figures = {};
  const note = (what, engine, figure) => ((figures[what] ??= {})[engine] ??= []).push(figure);

  for (const [place, count] of [['durable', 400], ['memory', 10_000]]) {
    const engines = [];
    for (const [engine, journal] of place === 'memory' ? ENGINES.slice(0, 2) : ENGINES) {
      const { call, end } = worker();
      const name = place === 'memory' ? engine : `${engine}-${journal ?? 'redb'}`;
      await call('open', engine, place, `tx-${name}`, journal);
      await call('fill', 10_000);
      await call('transactions', 400);
      engines.push({ name, call, end });
      // The pool of SQLite belongs to one Worker at a time.
      if (engine === 'theirs' && place === 'durable') {
        await call('close');
        end();
        engines.pop();
        engines.push({ name, journal });
      }
    }
    for (let round = 0; round < rounds; round += 1) {
      for (const engine of engines) {
        let { call, end } = engine;
        if (!call) {
          ({ call, end } = worker());
          await call('open', 'theirs', place, `tx-${engine.name}`, engine.journal);
          await call('transactions', 50);
        }
        const { millis, bytes, flushes } = await call('transactions', count);
        note(`${place}: transactions`, engine.name, (count / millis) * 1_000);
        if (place === 'durable') {
          note('bytes written', engine.name, bytes / count);
          note('flushes', engine.name, flushes / count);
        }
        const gets = await call('gets', 20_000, 10_000);
        note(`${place}: gets`, engine.name, (20_000 / gets.millis) * 1_000);
        if (engine.journal) {
          await call('close');
          end();
        }
      }
    }
    engines.forEach(({ end }) => end?.());
  }

  for (const [engine, journal] of ENGINES) {
    const name = `${engine}-${journal ?? 'redb'}`;
    const first = worker();
    await first.call('open', engine, 'durable', `open-${name}`, journal);
    await first.call('fill', 100_000);
    await first.call('close');
    first.end();
    for (let round = 0; round < rounds; round += 1) {
      const { call, end } = worker();
      // What is loaded once is not part of opening a store.
      await call('open', engine, 'durable', `warm-${name}`, journal);
      await call('close');
      const { millis } = await call('open', engine, 'durable', `open-${name}`, journal);
      note('open 100,000 rows', name, millis);
      await call('gets', 1, 100_000);
      if (round % 2) {
        end(); // As a tab that is killed.
      } else {
        await call('close');
        end();
      }
    }
  }
  const medians = (what) =>
    Object.fromEntries(Object.entries(figures[what]).map(([engine, figures]) => [engine, median(figures)]));
  return Object.fromEntries(Object.keys(figures).map((what) => [what, medians(what)]));
}

/** Which is better, and how many digits matter. */
const ROWS = [
  ['durable: transactions', 'higher', '/s', 0],
  ['memory: transactions', 'higher', '/s', 0],
  ['durable: gets', 'higher', '/s', 0],
  ['memory: gets', 'higher', '/s', 0],
  ['open 100,000 rows', 'lower', 'ms', 1],
  ['bytes written', 'lower', 'bytes/transaction', 0],
  ['flushes', 'lower', 'flushes/transaction', 2],
];

try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const medians = await page.evaluate(measure, Number(rounds));
  const rows = ROWS.flatMap(([what, better, unit, digits]) => {
    const { 'ours-redb': durable, ours = durable, ...others } = medians[what];
    return Object.entries(others).map(([engine, theirs]) => ({
      name: `${what}, ${engine === 'theirs' ? 'SQLite in memory' : engine.replace('theirs-', 'SQLite journal ')}`,
      ours: Number(ours.toFixed(digits)),
      theirs: Number(theirs.toFixed(digits)),
      ratio: Number((better === 'higher' ? ours / theirs : theirs / ours).toFixed(2)),
      unit,
    }));
  });
  console.log(JSON.stringify(rows));
} finally {
  await browser.close();
  server.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 10 });
}
