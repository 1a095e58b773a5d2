// Errors in words that help: what went wrong, and what to do next.

/** @type {Record<string, string>} By the error's name. */
const ADVICE = {
  BridgeClosedError: 'The kernel was ended meanwhile: revive it.',
  ConnectionLostError: 'Check that the relay runs and that the other page is open, and try again.',
  CrashError: 'The module has crashed: kill the kernel and revive it.',
  IdentityError: 'Remove this kernel and add another.',
  NetworkTimeoutError: 'The network did not start: kill the kernel and revive it.',
  OcapURLError: 'Check that the URL was copied whole: it begins with “ocap:”.',
  RedemptionError: 'Its issuer may have been wiped since: ask for a fresh URL.',
  RedemptionTimeoutError: 'Check that its issuer is open and that both know the same relay, and redeem it again.',
  ReferenceError: 'The life that it belonged to is over: introduce the kernels again by sending, or redeem a fresh URL.',
  RelayError: 'Check that it runs and that this device can reach it, then reload this page; or enter another.',
  ResourceLimitError: 'Wait until some of what was sent is acknowledged, and try again.',
  StoreDamagedError: 'Remove this kernel, or wipe its store.',
  StoreFullError: 'Free some space on this device and revive the kernel: it goes on from its last commit.',
  StoreInUseError: 'Close the other tab with this store, and revive the kernel.',
  StoreUnavailableError: 'Open this page over https or from localhost, or add a kernel with a store in memory.',
  TimeoutError: 'Look at the log for what is slow, and try again.',
  TypeError: 'Check the addresses of the relays and the options in the address of this page.',
};

/** @param {unknown} error */
export function advise(error) {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const text = message || name;
  const sentence = /[.!?]$/.test(text) ? text : `${text}.`;
  const advice = ADVICE[name] ?? 'The log below may say more; kill the kernel and revive it to go on.';
  return `${sentence[0].toUpperCase()}${sentence.slice(1)} ${advice}`;
}
