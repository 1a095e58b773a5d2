// A hundred native kernels that all send to one kernel in the browser, through one relay.

import { LOOSE } from '../world.mjs';
import { memory } from '../memory.mjs';

const COUNT = 100;
const SECONDS = 10;

/** @param {import('../world.mjs').World} world */
export async function crowd(world) {
  const relays = [world.relay.addresses.ws];
  const page = await world.openPage();
  const url = await page.evaluate(async (options) => {
    globalThis.party = await globalThis.network.KernelPage.start(options);
    return globalThis.party.kernel.issueOcapURL(globalThis.party.object);
  }, { ...LOOSE, relays, maxConcurrentConnections: 2 * COUNT });
  const before = await memory(page);

  const peers = await world.peer({ role: 'crowd', seed: 100, count: COUNT }, ['relayed']);
  peers.tell({ meet: url });
  const { met } = await peers.take('met', undefined, 120_000);
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  const idle = await memory(page);

  peers.tell({ go: { seconds: SECONDS } });
  const { served } = await peers.take('served', undefined, 120_000);
  const after = await memory(page);
  await peers.kill();
  await page.close();

  const row = (name, value, unit) => ({ name: `${COUNT} peers/${name}`, value: Number(value.toPrecision(3)), unit });
  const total = served.reduce((sum, count) => sum + count, 0);
  return [
    row('connected', met, 'peers'),
    row('served', served.filter((count) => count > 0).length, 'peers'),
    row('answered messages of 200 B, all together', total / SECONDS, 'messages/s'),
    row('least served beside most served', Math.min(...served) / Math.max(...served), 'of 1'),
    row('memory of an idle peer, wasm', (idle.wasm - before.wasm) / COUNT / 1_024, 'KiB'),
    row('memory of an idle peer, JavaScript heap', (idle.heap - before.heap) / COUNT / 1_024, 'KiB'),
    row('memory of the page after the traffic, wasm', after.wasm / 1_048_576, 'MiB'),
  ];
}
