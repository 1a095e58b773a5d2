import { inWorld } from './world.mjs';
await inWorld(async (world) => {
  const peer = await world.peer({ role: 'echo', seed: 1 });
  console.log(peer.addresses);
  const page = await world.openPage();
  page.on('console', (m) => console.log('P', m.text()));
  const only = process.argv[2];
  for (const way of (process.argv[3] ?? 'ws,webrtc-direct,relayed').split(',')) for (const stack of only ? [only] : ['Ours', 'Theirs']) {
    console.log(way, stack);
    await Promise.race([new Promise((r) => setTimeout(r, 25000)), page.evaluate(async ({ stack, address }) => {
      const { [stack]: Stack, traffic } = globalThis.network;
      const running = await Stack.start();
      console.log('started');
      await running.meet(address);
      console.log(await traffic.roundTrips(running, 256, 1));
      for (const [bytes, n] of [[256, 100], [65536, 50], [1048000, 10]]) {
        const t = (await traffic.roundTrips(running, bytes, n)).sort((a, b) => a - b);
        console.log(bytes, 'rtt', t[n >> 1], t[n - 1]);
        console.log(bytes, 'out', bytes * n / 1048.576 / await traffic.sendMany(running, bytes, n));
        console.log(bytes, 'in', bytes * n / 1048.576 / await traffic.receiveMany(running, bytes, n));
      }
      await running.stop();
    }, { stack, address: peer.addresses[way] })]);
  }
});
