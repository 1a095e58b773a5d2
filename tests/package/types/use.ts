// The package as a strict TypeScript program uses it. It is compiled and never run.

import { CrashError, OcapRemotesError, ResourceLimitError, StoreInUseError, version, type KernelEvent } from 'ocap-remotes';
import { answerCalls, Caller, networkPort, portFor } from 'ocap-remotes/connect';
import init, { initSync, Kernel, KernelStore, openKernelStore, type KernelOptions, type PeerEvent } from 'ocap-remotes/kernel';
import initInline from 'ocap-remotes/kernel/inline';
import initSmall, { Kernel as SmallKernel } from 'ocap-remotes/kernel-without-store';
import initNetwork, { initTransport, Network, type NetworkEvent, type PeerStatus, type Transport } from 'ocap-remotes/network';
import initRemotes, {
  KernelRecords,
  KernelStore as StoreOfRemotes,
  RemoteManager,
  type KernelDatabase,
  type KernelQueueRemotePart,
  type PlatformServicesRemotePart,
} from 'ocap-remotes/remotes';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function holds<_ extends true>(): void {}

export async function load(bytes: Uint8Array<ArrayBuffer>, response: Promise<Response>): Promise<number> {
  await init();
  await init(bytes);
  await init(response);
  await init(new URL('https://example.org/kernel.wasm'));
  await init(await WebAssembly.compile(bytes));
  initSync(bytes);
  await initInline();
  await initSmall();
  const { memoryBytes }: { readonly memoryBytes: number } = await initNetwork(new Request('kernel.wasm'));
  // @ts-expect-error null is no source
  await init(null);
  // @ts-expect-error what is inline takes none
  await initInline(bytes);
  return memoryBytes;
}

export async function serve(port: MessagePort, options: KernelOptions): Promise<string> {
  const signal = AbortSignal.timeout(1_000);
  using store: KernelStore = await openKernelStore({ durability: 'memory', signal });
  await using kernel = await Kernel.start(port, { ...options, signal }, store);
  const promise: string = kernel.send(await kernel.redeemOcapURL('ocap:', { signal }), '#[]', ['ko1']);
  for await (const event of kernel.events({ signal })) {
    holds<Equal<typeof event, PeerEvent | { type: 'missed'; events: number }>>();
    // @ts-expect-error messages are for `onEvent`
    if (event.type === 'message') break;
    if (event.type === 'missed') return `${event.events}`;
    if (event.type === 'peerRestarted') return event.formerIncarnation;
  }
  // @ts-expect-error a misspelt option
  await Kernel.start(port, { onEvent() {}, maxQeue: 1 });
  // @ts-expect-error without onEvent
  await Kernel.start(port, {});
  // @ts-expect-error made by `start` only
  new Kernel();
  return promise;
}

export async function inAKernelOfMine(database: KernelDatabase, kernelQueue: KernelQueueRemotePart): Promise<string> {
  await Promise.all([initRemotes(), initNetwork()]);
  let transport: Transport | undefined;
  const platformServices: PlatformServicesRemotePart = {
    async initializeRemoteComms(...given) {
      transport = await initTransport(...given);
    },
    stopRemoteComms: () => transport?.stop(),
    sendRemoteMessage: (to, message) => transport?.sendRemoteMessage(to, message),
    closeConnection: (peerId) => transport?.closeConnection(peerId),
    registerLocationHints: (peerId, hints) => transport?.registerLocationHints(peerId, hints),
    reconnectPeer: (peerId, hints) => transport?.reconnectPeer(peerId, hints),
  };
  const kernelStore = new KernelRecords(StoreOfRemotes.over(database));
  using remotes = new RemoteManager({ platformServices, kernelStore, kernelQueue, logger: console });
  // @ts-expect-error without a queue
  new RemoteManager({ platformServices, kernelStore });
  await remotes.initRemoteComms({ relays: ['/dns4/relay.example/tcp/443/wss'] });
  const url: string = await remotes.issueOcapURL('ko1');
  return remotes.redeemOcapURL(url);
}

export async function watch(worker: Worker): Promise<PeerStatus[]> {
  await using network = Network.serve(worker, { onEvent: (event: NetworkEvent) => console.log(event.type) });
  for await (const event of network.events()) {
    if (event.type === 'peer') console.log(event.channel?.roundTripMs);
  }
  return network.status().peers;
}

export function onEvent(kernel: Kernel | SmallKernel, event: KernelEvent): void {
  switch (event.type) {
    case 'message':
      if (event.result !== undefined) kernel.resolve(event.result, event.body, event.slots);
      break;
    case 'notify':
      holds<Equal<typeof event.rejected, boolean>>();
      break;
    case 'retired':
      kernel.release(event.objects);
      break;
    case 'peerRestarted':
    case 'identityShared':
    case 'givenUp':
    case 'messagesLost':
    case 'messageRejected':
    case 'storeFailed':
      break;
    default:
      event satisfies never;
  }
}

export function advise(error: unknown): string {
  if (error instanceof ResourceLimitError) return `${error.data?.limitType}: ${error.data?.current} of ${error.data?.limit}`;
  if (error instanceof StoreInUseError || error instanceof CrashError) return error.message;
  return error instanceof OcapRemotesError ? `${error.name} in ${version}` : String(error);
}

export async function connect(worker: Worker, signal: AbortSignal): Promise<() => void> {
  const port: MessagePort = portFor(worker);
  using caller = new Caller(worker);
  await caller.callWith({ signal }, 'greet', port);
  await networkPort();
  return answerCalls({ greet: () => 'hello' });
}
