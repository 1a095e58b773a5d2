// Lets the engines take turns across one Worker, and compares ours with the others round by round.

import { ENGINES, measure as measureHere } from '/bench/bridge-engines.mjs';

const OTHERS = ['comlink', 'floor'];
const LOADS = [
  { inFlight: 1, bytes: 256 },
  { inFlight: 64, bytes: 256 },
  { inFlight: 1, bytes: 4_096 },
  { inFlight: 64, bytes: 4_096 },
  { inFlight: 64, bytes: 65_536 },
  { inFlight: 8, bytes: 1_048_576 },
];
/** How long one engine's turn takes. */
const TURN_MILLIS = 150;

const median = (values) => values.toSorted((one, other) => one - other)[values.length >> 1];

/** Answers of the Worker come in the order of the questions, of which there is one at a time. */
function asking(worker) {
  return (message, transfer = []) =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message));
      worker.postMessage(message, transfer);
    });
}

/** @param {number} rounds */
export async function measure(rounds) {
  const worker = new Worker('/bench/bridge-worker.mjs', { type: 'module' });
  const ask = asking(worker);
  const here = {};
  for (const engine of Object.keys(ENGINES)) {
    const { port1, port2 } = new MessageChannel();
    const opened = ask({ open: engine }, [port2]);
    here[engine] = await ENGINES[engine](port1, false);
    await opened;
  }
  const directions = {
    'kernel to network': (engine, ...load) => ask({ run: [engine, ...load] }),
    'network to kernel': (engine, ...load) => measureHere(here[engine], ...load),
  };
  const rows = [];
  for (const [direction, run] of Object.entries(directions)) {
    for (const { inFlight, bytes } of LOADS) {
      const rates = Object.fromEntries(Object.keys(ENGINES).map((engine) => [engine, []]));
      for (let round = 0; round <= rounds; round += 1) {
        // Forth and back, for each pays for the garbage of the one before it.
        const turns = Object.keys(rates);
        for (const engine of round % 2 ? turns : turns.reverse()) {
          const rate = await run(engine, inFlight, bytes, TURN_MILLIS);
          // The first round warms up.
          if (round > 0) {
            rates[engine].push(rate);
          }
        }
      }
      for (const other of OTHERS) {
        const ratio = median(rates.ours.map((ours, round) => ours / rates[other][round]));
        rows.push({
          name: `${direction}, ${bytes} B, ${inFlight} in flight, beside ${other === 'floor' ? 'bare postMessage' : other}`,
          ours: Math.round(median(rates.ours)),
          theirs: Math.round(median(rates[other])),
          ratio: Number(ratio.toFixed(2)),
          unit: 'calls/s',
        });
      }
    }
  }
  worker.terminate();
  return rows;
}
