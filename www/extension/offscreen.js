// Chromium's host: a window without a screen, since a service worker has neither WebRTC nor Workers, and ends when it is idle.

import { Host } from './host.js';
import { ask } from './request.js';

new Host({
  read: () => ask('readVault'),
  write: (changes) => ask('writeVault', changes),
}).start();
