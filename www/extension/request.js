// Asks the service worker, which the browser starts for it if need be.

/**
 * @param {'open' | 'readVault' | 'writeVault'} request
 * @param {unknown} [value]
 * @returns {Promise<any>}
 */
export async function ask(request, value) {
  const answer = await chrome.runtime.sendMessage({ request, value });
  if (answer?.error !== undefined) {
    throw new Error(answer.error);
  }
  return answer?.value;
}
