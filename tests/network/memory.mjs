// What a page of tests/network/page holds.

/**
 * After a collection: bytes of the JavaScript heap and of the memories of `window.party`'s modules, and how many
 * RTCPeerConnections exist, closed ones that are not collected included.
 * @param {import('playwright-core').Page} page
 */
export async function memory(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  await session.send('HeapProfiler.enable');
  // What a finalizer lets go of is collected by the next.
  for (let pass = 0; pass < 3; pass += 1) {
    await session.send('HeapProfiler.collectGarbage');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const { metrics } = await session.send('Performance.getMetrics');
  await session.detach();
  const metric = (wanted) => metrics.find(({ name }) => name === wanted)?.value;
  const wasm = await page.evaluate(() => globalThis.party?.wasmBytes() ?? 0);
  return { heap: metric('JSHeapUsedSize'), wasm, peerConnections: metric('RTCPeerConnections') };
}
