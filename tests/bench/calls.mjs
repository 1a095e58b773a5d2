// Measures calls between whole kernels in two browsers as people have them, beside js-libp2p alone in two such pages, all in turns.
// Prints the rows as one line of JSON; a table of them goes to stderr. See docs/calls.md.
//
//   OCAP_RELAY_BIN, OCAP_KERNEL_PEER   the relay and the native kernels
//   CHROME_BIN                         the browser, /usr/bin/chromium by default
//
// usage: node calls.mjs <rounds>

import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Interrupted, listenForSignals, within } from '../../www/story/within.mjs';
import { flow, measure } from './calls/measure.mjs';
import { rowsOf, tableOf } from './calls/rows.mjs';
import { CROWDS, openCrowd, RELOADED, SETUPS } from './calls/setups.mjs';
import { Stage } from './calls/stage.mjs';

const rounds = Number(process.argv[2]);
const RELOADS = 5;
const CROWD_BYTES = 100;
/** What one pair may take. */
const PAIR_LIMIT_MS = 180_000;
/** For how long the machine is watched before it has anything to do for us. */
const WATCH_MS = 5_000;
/** So many processors are busy on a quiet machine. */
const QUIET = 0.2;

const tell = (line) => console.error(`bench: ${line}`);

/** How many processors are busy, on the average of some seconds. */
async function busyProcessors() {
  const times = () => cpus().map(({ times: { idle, ...busy } }) => ({ idle, busy: Object.values(busy).reduce((sum, ms) => sum + ms, 0) }));
  const before = times();
  await sleep(WATCH_MS);
  const shares = times().map(({ idle, busy }, index) => {
    const [wasIdle, wasBusy] = [idle - before[index].idle, busy - before[index].busy];
    return wasBusy / Math.max(1, wasIdle + wasBusy);
  });
  return shares.reduce((sum, share) => sum + share, 0);
}

/** Attempts that failed, each of which was told. */
let failures = 0;

/** Opens a pair for some work, and ends it. What fails once is tried again, since the rest has taken long. */
async function withPair(name, open, work, mayFail = true) {
  tell(name);
  try {
    const pair = await open();
    try {
      return await within(work(pair), 'the end of the work', PAIR_LIMIT_MS);
    } finally {
      await pair.close();
    }
  } catch (error) {
    if (!mayFail || interrupted) {
      throw error;
    }
    console.error(error);
    failures += 1;
    return withPair(`once more: ${name}`, open, work, false);
  }
}

/** The figures of all rounds, by setup, by size of the crowd, and by way of the reloaded page. */
async function run(stage) {
  const results = { setups: SETUPS.map(() => []), crowds: CROWDS.map(() => []), reloads: RELOADED.map(() => []) };
  for (let round = 0; round < rounds; round += 1) {
    const named = `round ${round + 1} of ${rounds}`;
    // In turns, and forwards as often as backwards: what the machine does meanwhile is for all of them.
    const turns = SETUPS.map((setup, index) => [setup, results.setups[index]]);
    for (const [{ way, who, isSlow, open }, into] of round % 2 === 0 ? turns : turns.reverse()) {
      into.push(await withPair(`${named}: ${way}, ${who}`, () => open(stage), (pair) => measure(pair, isSlow)));
    }
    for (const [index, count] of CROWDS.entries()) {
      const work = (pair) => flow(pair, CROWD_BYTES);
      results.crowds[index].push(await withPair(`${named}: ${count} native peers`, () => openCrowd(stage, count), work));
    }
  }
  for (const [index, { way, open }] of RELOADED.entries()) {
    results.reloads[index] = await withPair(`reloads: ${way}`, () => open(stage), async (pair) => {
      const times = [];
      while (times.length < RELOADS) {
        times.push(await pair.reload());
      }
      return times;
    });
  }
  return results;
}

const busy = await busyProcessors();
const signals = listenForSignals();
let interrupted = false;
signals.interrupted.catch(() => (interrupted = true));
const stage = await Stage.open();
try {
  const results = await Promise.race([run(stage), signals.interrupted]);
  console.error(tableOf(results));
  const processors = cpus().length;
  tell(`${busy.toFixed(2)} of ${processors} processors were busy before it began: the machine was ${busy > QUIET ? 'busy' : 'quiet'}`);
  console.log(JSON.stringify([
    ...rowsOf(results),
    { name: 'run/attempts that failed', value: failures, unit: 'attempts' },
    { name: 'machine/processors', value: processors, unit: 'processors' },
    { name: 'machine/processors that were busy before it began', value: Number(busy.toFixed(2)), unit: 'processors' },
  ]));
} catch (error) {
  process.exitCode = 1;
  console.error(error instanceof Interrupted ? error.message : error);
} finally {
  signals.ignore();
  await stage.close();
}
