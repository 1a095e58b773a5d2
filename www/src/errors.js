// Errors in words that help.

/** @type {Record<string, string>} What to do, by the error's name. */
const ADVICE = {
  ConnectionLostError: 'Is the other page still open, and is the relay running?',
  CrashError: 'The module has crashed: reload the page.',
  OcapURLError: 'Was it copied whole?',
  RedemptionError: 'The kernel that issued it may have restarted since: ask for a fresh one.',
  RedemptionTimeoutError: 'The other kernel did not answer. Is its page open, and do both know the same relay?',
  ReferenceError: 'The other kernel may have restarted: redeem a fresh URL.',
  ResourceLimitError: 'Wait until some of what was sent is acknowledged.',
};

/** @param {unknown} error */
export function describe(error) {
  if (!(error instanceof Error)) {
    return String(error);
  }
  const text = error.message || error.name;
  const advice = ADVICE[error.name];
  return advice ? `${text} – ${advice}` : text;
}
