// The Worker's side: takes a port for each engine, and measures its own calls when told.

import { ENGINES, measure } from '/bench/bridge-engines.mjs';

const calls = {};

self.onmessage = async ({ data: { open, run }, ports }) => {
  if (open) {
    calls[open] = await ENGINES[open](ports[0], true);
    postMessage(null);
  } else {
    const [engine, ...rest] = run;
    postMessage(await measure(calls[engine], ...rest));
  }
};
