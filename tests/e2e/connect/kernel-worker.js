// The kernel's Worker in the fewest lines, and calls of the page for the test.

import { answerCalls, networkPort } from '/js/connect.js';
import init, { Kernel, openKernelStore } from '/pkg/kernel/kernel.js';

const starting = (async () => {
  await init();
  const store = await openKernelStore({ durability: 'memory' });
  return Kernel.start(await networkPort(), { onEvent() {} }, store);
})();

answerCalls({
  identity: async () => (await starting).peerId,
  double: (number) => number * 2,
  fail: () => {
    throw Object.assign(new RangeError('too far'), { data: { limit: 7 } });
  },
  forever: (_label, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  aborted: (() => {
    let count = 0;
    self.addEventListener('message', ({ data }) => (count += data?.['ocap-remotes'] === 'abort'));
    return () => count;
  })(),
});
