// Chromium: keeps the offscreen document open. The browser ends this Worker whenever it is idle and starts it for the next event, so
// that it remembers nothing, and hears every event from the first turn on.

import { readVault, writeVault } from './vault.js';

const DOCUMENT = 'offscreen.html';
const ALARM = 'offscreen document';
/** The shortest period that browsers allow; so long the wallet may be away when its document has crashed. */
const ALARM_MINUTES = 0.5;

/** @type {Promise<void> | undefined} Two calls at once must not open two documents: there may be one only. */
let opening;

function openDocument() {
  opening ??= (async () => {
    try {
      const open = await chrome.runtime.getContexts({ contextTypes: ['OFFSCREEN_DOCUMENT'] });
      if (open.length === 0) {
        await chrome.offscreen.createDocument({
          url: DOCUMENT,
          reasons: ['WEB_RTC', 'WORKERS'],
          justification: 'Connects the wallet directly to other wallets, and runs its kernel in a Worker.',
        });
      }
    } finally {
      opening = undefined;
    }
  })();
  return opening;
}

/** An update of the extension, and some browsers at their start, forget alarms. */
async function setAlarm() {
  if (!(await chrome.alarms.get(ALARM))) {
    await chrome.alarms.create(ALARM, { periodInMinutes: ALARM_MINUTES });
  }
}

/** What the other contexts may ask; the document itself has no access to the extension's storage. */
const requests = {
  open: openDocument,
  readVault,
  writeVault,
};

const wake = () => void openDocument().catch((error) => console.error('cannot open the offscreen document', error));

chrome.runtime.onInstalled.addListener(wake);
chrome.runtime.onStartup.addListener(wake);
chrome.alarms.onAlarm.addListener(wake);
chrome.runtime.onMessage.addListener((/** @type {{ request: keyof typeof requests, value?: any }} */ message, _, respond) => {
  if (!Object.hasOwn(requests, message.request)) {
    return false;
  }
  requests[message.request](message.value).then(
    (value) => respond({ value }),
    (/** @type {Error} */ error) => respond({ error: error.message }),
  );
  return true; // the answer comes later
});
// Whatever woke this Worker: the document should be open.
wake();
void setAlarm();
