// Round trips and throughput of our network half and of js-libp2p, in turns, in one page, against one native echo.
//
// Both send and receive texts. Ours is called over the port of `Network.serve`, as a kernel calls it, which costs a structured
// clone each way; js-libp2p is called directly. Both do the same handshake and frames on the same protocol.

const ROUNDS = Number(process.env.ROUNDS ?? 5);
export const WAYS = /** @type {const} */ (['ws', 'webrtc-direct', 'relayed']);
/** By size: how to name it, how many round trips, and how many messages one way, in each round. */
const SIZES = [
  { bytes: 256, name: '256 B', trips: 300, messages: 4_000 },
  { bytes: 1_024, name: '1 KiB', trips: 300, messages: 4_000 },
  { bytes: 65_536, name: '64 KiB', trips: 100, messages: 200 },
  // A message may have 1 MiB with its frame.
  { bytes: 1_048_000, name: '1 MiB', trips: 20, messages: 20 },
];

export const quantile = (values, part) => values.toSorted((one, other) => one - other)[Math.min(values.length - 1, Math.floor(values.length * part))];
const digits = (value) => Number(value.toPrecision(3));

/** One round of one stack over one way: a fresh connection, every size. */
function measure(page, stack, address, sizes) {
  return page.evaluate(
    async ({ stack, address, sizes }) => {
      const { [stack]: Stack, traffic } = globalThis.network;
      const running = await Stack.start();
      await running.meet(address);
      const startedAt = performance.now();
      await traffic.roundTrips(running, 256, 1);
      const figures = { setUp: performance.now() - startedAt, sizes: [] };
      for (const { bytes, trips, messages } of sizes) {
        await traffic.roundTrips(running, bytes, Math.ceil(trips / 10));
        figures.sizes.push({
          trips: await traffic.roundTrips(running, bytes, trips),
          out: await traffic.sendMany(running, bytes, messages),
          in: await traffic.receiveMany(running, bytes, messages),
        });
      }
      await running.stop();
      return figures;
    },
    { stack, address, sizes },
  );
}

function row(name, ours, theirs, unit, more) {
  return { name, ours: digits(ours), theirs: digits(theirs), ratio: digits(more ? ours / theirs : theirs / ours), unit };
}

function rowsOf(way, { Ours, Theirs }) {
  const both = (of) => [of(Ours), of(Theirs)];
  const median = (rounds, of) => quantile(rounds.map(of), 0.5);
  const rows = [row(`${way}/connect and first round trip`, ...both((rounds) => median(rounds, ({ setUp }) => setUp)), 'ms', false)];
  SIZES.forEach(({ name, bytes, messages }, index) => {
    const size = ({ sizes }) => sizes[index];
    const trips = (rounds, part) => quantile(rounds.flatMap((round) => size(round).trips), part);
    const rate = (direction) => (rounds) => (bytes * messages) / 1024 / 1024 / (median(rounds, (round) => size(round)[direction]) / 1_000);
    rows.push(row(`${way}/${name}/round trip p50`, ...both((rounds) => trips(rounds, 0.5)), 'ms', false));
    rows.push(row(`${way}/${name}/round trip p99`, ...both((rounds) => trips(rounds, 0.99)), 'ms', false));
    rows.push(row(`${way}/${name}/throughput out of the browser`, ...both(rate('out')), 'MiB/s', true));
    rows.push(row(`${way}/${name}/throughput into the browser`, ...both(rate('in')), 'MiB/s', true));
  });
  return rows;
}

/** @param {import('../world.mjs').World} world */
export async function compare(world) {
  const peer = await world.peer({ role: 'echo', seed: 1 });
  const page = await world.openPage();
  const rows = [];
  for (const way of WAYS) {
    const figures = { Ours: [], Theirs: [] };
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [stack, rounds] of Object.entries(figures)) {
        rounds.push(await measure(page, stack, peer.addresses[way], SIZES));
      }
    }
    rows.push(...rowsOf(way, figures));
    console.error(`bench: ${way} is measured`);
  }
  await peer.kill();
  await page.close();
  return rows;
}
