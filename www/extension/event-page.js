// Firefox's host: its background page is a window itself, with WebRTC and Workers. Firefox ends it when it is idle, unless a popup is
// connected; the alarm brings it back.

import { Host } from './host.js';
import { readVault, writeVault } from './vault.js';

const ALARM = 'event page';
const ALARM_MINUTES = 0.5;

// Hearing them is what makes Firefox open this page for them.
chrome.runtime.onInstalled.addListener(() => {});
chrome.runtime.onStartup.addListener(() => {});
chrome.alarms.onAlarm.addListener(() => {});
chrome.runtime.onMessage.addListener((/** @type {{ request: string }} */ { request }, _, respond) => {
  if (request === 'open') {
    respond({}); // it is open, or could not answer
  }
  return false;
});
void chrome.alarms.create(ALARM, { periodInMinutes: ALARM_MINUTES });

new Host({ read: readVault, write: writeVault }).start();
