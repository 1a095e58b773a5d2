import { inWorld, LOOSE } from './world.mjs';
const way = process.argv[2];
await inWorld(async (world) => {
  const peer = await world.peer({ role: 'kernel', seed: 2 }, [way]);
  const page = await world.openPage();
  const t0 = Date.now();
  page.on('console', (m) => console.log(((Date.now() - t0) / 1000).toFixed(2), 'P', m.text().slice(0, 230)));
  const relays = way === 'relayed' ? [world.relay.addresses.ws] : [];
  const id = await page.evaluate(
    async ({ options, hint, url, log }) => {
      const Base = RTCPeerConnection;
      let n = 0;
      globalThis.RTCPeerConnection = class extends Base {
        constructor(...a) { super(...a); const i = n++; console.log('PC', i, 'new');
          this.addEventListener('connectionstatechange', () => console.log('PC', i, this.connectionState));
          this.addEventListener('iceconnectionstatechange', () => console.log('PC', i, 'ice', this.iceConnectionState));
          setTimeout(() => { this.sctp?.addEventListener?.('statechange', () => console.log('PC', i, 'sctp', this.sctp.state));
            this.sctp?.transport?.addEventListener('statechange', () => console.log('PC', i, 'dtls', this.sctp.transport.state));
          }, 300);
        }
        createDataChannel(...a) { const c = super.createDataChannel(...a); c.addEventListener('close', () => console.log('DC close', a[1]?.id ?? c.id)); return c; }
        close() { console.log('PC close()'); super.close(); }
      };
      globalThis.LOG = log;
      const party = await globalThis.network.KernelPage.start(options);
      globalThis.party = party;
      party.kernel.registerLocationHints(hint.split('/').at(-1), [hint]);
      const target = await party.kernel.redeemOcapURL(url);
      globalThis.endStream = party.stream(target, 10);
      return party.kernel.peerId;
    },
    { options: { ...LOOSE, relays }, hint: peer.addresses[way], url: peer.ready.url, log: process.argv[4] ?? 'debug' },
  );
  await new Promise((r) => setTimeout(r, 2000));
  for (let i = 0; i < 3; i++) {
    console.log(((Date.now() - t0) / 1000).toFixed(2), '-----', process.argv[3]);
    if (process.argv[3] === 'cut') peer.tell({ cut: id });
    else { await peer.kill(); await peer.start(); console.log(((Date.now() - t0) / 1000).toFixed(2), 'back'); }
    await new Promise((r) => setTimeout(r, process.argv[3] === 'cut' ? 7000 : 40000));
  }
});
