// Our transport in headless Chromium over webrtc-direct: connections that come and go, then long messages in a row. Fails if a
// connection stays open, if memory grows, or if a message is lost or changed. The last line on stdout is the figures as JSON.
//
// usage: node network-soak.mjs <folder of the built page> <relay> <echo peer> <cycles> <messages>

import { onNetworkStage } from './network-stage.mjs';

const [folder, relayBinary, echoBinary, cycles, messages] = process.argv.slice(2);
/** Cycles after which memory is compared with that at the end. */
const WARM_UP = Math.min(200, Math.floor(Number(cycles) / 2));
/** What the page's heap may grow by meanwhile. */
const HEAP_MARGIN = 2 * 1024 * 1024;
/** And the module's memory, which never shrinks: a few of its pages, for what happens to be under way together. */
const WASM_MARGIN = 512 * 1024;
/** More than this the module must never hold, whatever the other end does: a few of the longest messages. */
const WASM_LIMIT = 64 * 1024 * 1024;

function insist(holds, what) {
  if (!holds) {
    throw new Error(what);
  }
}

await onNetworkStage(folder, relayBinary, echoBinary, async (page, echo) => {
  const devtools = await page.context().newCDPSession(page);
  const heap = async () => {
    for (let times = 0; times < 3; times += 1) {
      await devtools.send('HeapProfiler.collectGarbage');
    }
    return (await devtools.send('Runtime.getHeapUsage')).usedSize;
  };
  const cycle = async (count) => page.evaluate((args) => globalThis.cycles(...args), [echo.peerId, echo.webrtc, count]);

  const warm = await cycle(WARM_UP);
  const heapBefore = await heap();
  let [last, failed] = [warm, warm.failed];
  for (let done = WARM_UP; done < Number(cycles); ) {
    const count = Math.min(100, Number(cycles) - done);
    last = await cycle(count);
    // What JavaScript has let go is freed in the module by finalizers.
    await heap();
    done += count;
    failed += last.failed;
    console.error(`soak: ${done} connections made and closed, ${last.open} open, ${failed} attempts failed, wasm ${last.wasmBytes >> 10} KiB`);
    insist(last.open === 0, `${last.open} connections were left open`);
  }
  const heapGrowth = (await heap()) - heapBefore;
  insist(heapGrowth < HEAP_MARGIN, `the heap grew by ${heapGrowth} bytes`);
  insist(last.wasmBytes - warm.wasmBytes <= WASM_MARGIN, `wasm grew from ${warm.wasmBytes} to ${last.wasmBytes} bytes`);

  const flow = await page.evaluate((args) => globalThis.flow(...args), [echo.peerId, echo.webrtc, Number(messages)]);
  insist(flow.most <= WASM_LIMIT, `the module took ${flow.most} bytes`);
  insist(flow.open === 0, `${flow.open} connections were left open`);
  console.log(JSON.stringify({
    cycles: Number(cycles),
    failedAttempts: failed,
    connectionsLeftOpen: last.open,
    heapGrowthBytes: heapGrowth,
    wasmGrowthBytes: last.wasmBytes - warm.wasmBytes,
    messagesOf1MiB: Number(messages),
    writtenAgain: flow.lost,
    mebibytesPerSecondEachWay: Number((Number(messages) / flow.seconds).toFixed(1)),
    wasmBytesAtMost: flow.most,
  }));
});
