/// <reference lib="esnext.disposable" />

/**
 * Joins the contexts that a kernel and its network live in, and carries a page's calls to its Worker. It holds no wasm.
 *
 * In a Worker import it at the top of the first module: what was posted before it was imported is lost, as for any listener.
 */

/**
 * In the page that has the network: hands the kernel's Worker the way to it, and returns the network's end, for
 * `Network.serve(portFor(worker))`. The Worker takes its end with `networkPort()`.
 */
export function portFor(kernelWorker: Worker): MessagePort;

/** In the page, if the network has a Worker of its own: joins the two, which take their ends with `networkPort()` and `kernelPort()`. */
export function joinWorkers(kernelWorker: Worker, networkWorker: Worker): void;

/** In the kernel's Worker: the port for `Kernel.start`, as soon as the page has handed it over. */
export function networkPort(): Promise<MessagePort>;

/** In the network's Worker: the port for `Network.serve`, as soon as the page has handed it over. */
export function kernelPort(): Promise<MessagePort>;

/**
 * In the service worker of an extension: opens the offscreen document, in which network and Workers live, unless it is open, and waits
 * until it has loaded. It needs the permission `offscreen`. Call it whenever the service worker starts, as often as you like: the
 * browser may have closed the document. Calls at once share one attempt.
 *
 * One that a former life of the service worker still opens is waited for: until it answers, if it imports `ocap-remotes/connect` or
 * hears `chrome.runtime` messages, and for a second if it does neither.
 *
 * Rejected if an offscreen document with another address is open, since an extension may have one only, or with what the browser says.
 */
export function openOffscreenDocument(url: string, justification?: string): Promise<void>;

/** What a call gets after its arguments. */
export interface CallContext {
  /** Aborted when the caller no longer waits. */
  signal: AbortSignal;
}

/** Anything that messages can be posted to and heard from. */
export type CallTarget = Pick<MessagePort, 'postMessage' | 'addEventListener' | 'removeEventListener'> & { start?: () => void };

/**
 * Answers the calls of a `Caller` at the other end of `target`, by default of this Worker. Each function gets the arguments and
 * then a `CallContext`. What it throws is rejected there with the same `name`, `message` and `data`. In a Worker, calls that came before
 * are answered now.
 * @returns what ends it.
 */
export function answerCalls(calls: Record<string, (...args: any[]) => unknown>, target?: CallTarget): () => void;

/**
 * Calls what `answerCalls` offers at the other end: a Worker, or a port. 256 calls may be unanswered, and 4,096 more wait for that;
 * then a call fails with a `BridgeBusyError`. A Worker that fails rejects all with a `WorkerError`.
 */
export class Caller {
  constructor(target: Worker | CallTarget);
  /** Rejected with what the function threw. */
  call(name: string, ...args: unknown[]): Promise<any>;
  /** As `call`, but rejected with the signal's reason when it is aborted; the function's signal is aborted too. `AbortSignal.timeout(ms)` sets a deadline. */
  callWith(options: { signal?: AbortSignal }, name: string, ...args: unknown[]): Promise<any>;
  /** Rejects all that wait, and all that is called later. To be called by whoever terminates the Worker, which tells nobody. */
  close(reason?: Error): void;
  [Symbol.dispose](): void;
}
