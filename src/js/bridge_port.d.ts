/** Anything that two contexts can talk through: a Worker, `self` in a Worker, a MessagePort, or a chrome.runtime.Port. */
export type BridgePort =
  | {
      postMessage(message: unknown, transfer?: Transferable[]): void;
      addEventListener(type: string, listener: (event: any) => void): void;
      removeEventListener(type: string, listener: (event: any) => void): void;
    }
  | {
      postMessage(message: unknown): void;
      onMessage: { addListener(listener: (message: any) => void): void; removeListener(listener: (message: any) => void): void };
      onDisconnect: { addListener(listener: () => void): void; removeListener(listener: () => void): void };
    };
