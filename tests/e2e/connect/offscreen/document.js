// A document that takes its time to load.

import './js/connect.js';

const end = performance.now() + 100;
while (performance.now() < end) {
  // Other modules would run meanwhile.
}
chrome.runtime.onMessage.addListener((message, _sender, respond) => message === 'hello' && respond('here'));
