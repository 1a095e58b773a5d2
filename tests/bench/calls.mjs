// Measures calls between whole kernels in two browsers as people have them, beside js-libp2p alone in two such pages, all in turns.
// Prints the rows as one line of JSON; a table of them goes to stderr. See docs/calls.md.
//
//   OCAP_RELAY_BIN, OCAP_KERNEL_PEER   the relay and the native kernels
//   CHROME_BIN                         the browser, /usr/bin/chromium by default
//
// usage: node calls.mjs <rounds>

import { availableParallelism, loadavg } from 'node:os';
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
/** An idle machine has less to do than this for each processor. */
const QUIET_LOAD = 0.3;

const tell = (line) => console.error(`bench: ${line}`);

/** Opens a pair for some work, and ends it. */
async function withPair(name, opening, work) {
  const pair = await opening;
  try {
    return await within(work(pair), `the end of ${name}`, PAIR_LIMIT_MS);
  } finally {
    await pair.close();
  }
}

/** The figures of all rounds, by setup, by size of the crowd, and by way of the reloaded page. */
async function run(stage) {
  const results = { setups: SETUPS.map(() => []), crowds: CROWDS.map(() => []), reloads: RELOADED.map(() => []) };
  for (let round = 0; round < rounds; round += 1) {
    // In turns, and forwards as often as backwards: what the machine does meanwhile is for all of them.
    const turns = SETUPS.map((setup, index) => [setup, results.setups[index]]);
    for (const [{ way, who, isSlow, open }, into] of round % 2 === 0 ? turns : turns.reverse()) {
      tell(`round ${round + 1} of ${rounds}: ${way}, ${who}`);
      into.push(await withPair(who, open(stage), (pair) => measure(pair, isSlow)));
    }
    for (const [index, count] of CROWDS.entries()) {
      tell(`round ${round + 1} of ${rounds}: ${count} native peers`);
      results.crowds[index].push(await withPair('a crowd', openCrowd(stage, count), (pair) => flow(pair, CROWD_BYTES)));
    }
  }
  for (const [index, { way, open }] of RELOADED.entries()) {
    tell(`reloads, ${way}`);
    await withPair('reloads', open(stage), async (pair) => {
      while (results.reloads[index].length < RELOADS) {
        results.reloads[index].push(await pair.reload());
      }
    });
  }
  return results;
}

const load = loadavg()[0];
const { interrupted, ignore } = listenForSignals();
const stage = await Stage.open();
try {
  const results = await Promise.race([run(stage), interrupted]);
  console.error(tableOf(results));
  tell(`${availableParallelism()} processors, load ${load.toFixed(1)} before it began${load > QUIET_LOAD * availableParallelism() ? ': the machine was busy' : ''}`);
  console.log(JSON.stringify([
    ...rowsOf(results),
    { name: 'machine/processors', value: availableParallelism(), unit: 'processors' },
    { name: 'machine/load before it began', value: Number(load.toFixed(2)), unit: 'processes' },
  ]));
} catch (error) {
  process.exitCode = 1;
  console.error(error instanceof Interrupted ? error.message : error);
} finally {
  ignore();
  await stage.close();
}
