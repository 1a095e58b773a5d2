// Three ways to call the other side of a port, each with the same payload: a peer id and a message, and null in return.

import * as Comlink from '/comlink/comlink.mjs';

const PEER = '12D3KooWLbYsXgA7AWyABtcRmzmH5TeFTBQwxXJ1bqGHSWLzqbTC';

/** What `inFlight` callers do, each one call after the other. */
const loops = (count, inFlight, call) =>
  Promise.all(
    Array.from({ length: inFlight }, async (_, caller) => {
      for (let nth = caller; nth < count; nth += inFlight) {
        await call();
      }
    }),
  );

/** By name: what to do with a port, in the Worker or in the page. Gives what makes `count` calls with a message. */
export const ENGINES = {
  /** The kernel's end is in the Worker and the network's in the page. */
  async ours(port, inWorker) {
    const { default: init, BridgeBench } = await import('/ours/session_bench.js');
    await init();
    const end = inWorker ? BridgeBench.kernel(port) : BridgeBench.network(port);
    await end.initialize();
    return (count, inFlight, message) => end.calls(count, inFlight, message);
  },

  async comlink(port) {
    Comlink.expose({ send: (_to, _message) => null }, port);
    const other = Comlink.wrap(port);
    return (count, inFlight, message) => loops(count, inFlight, () => other.send(PEER, message));
  },

  /** The floor: the bridge's own messages, but nobody keeps count of who waits for what. */
  async floor(port) {
    let answered;
    port.onmessage = ({ data }) => {
      if (data.method) {
        port.postMessage({ jsonrpc: '2.0', id: data.id, result: null });
      } else {
        answered();
      }
    };
    return (count, inFlight, message) =>
      new Promise((resolve) => {
        let [posted, open] = [0, count];
        const post = () => {
          posted += 1;
          port.postMessage({ jsonrpc: '2.0', id: `m${posted}`, method: 'sendRemoteMessage', params: { to: PEER, message } });
        };
        answered = () => {
          open -= 1;
          if (open === 0) {
            resolve();
          } else if (posted < count) {
            post();
          }
        };
        for (let nth = 0; nth < Math.min(inFlight, count); nth += 1) {
          post();
        }
      });
  },
};

/** Makes calls for about `millis` and gives how many were made in a second. */
export async function measure(calls, inFlight, bytes, millis) {
  // JSON in a message is quoted once more by whoever copies it as JSON.
  const message = '{"a":"b"},'.repeat(Math.ceil(bytes / 10)).slice(0, bytes);
  let count = inFlight;
  for (;;) {
    const began = performance.now();
    await calls(count, inFlight, message);
    const took = performance.now() - began;
    if (took >= millis / 2) {
      return (count / took) * 1_000;
    }
    count = Math.ceil(count * Math.min(20, Math.max(2, millis / Math.max(took, 0.1))));
  }
}
