// The page: one kernel, and what a person or a script can do with it.

import { demoApi } from './demo-api.js';
import { serveNetwork } from './network.js';
import { Peer } from './peer.js';
import { readSettings } from './settings.js';
import * as view from './view.js';

/** How often the counters of the remotes are read, in milliseconds. */
const REMOTES_EVERY_MS = 1_000;

/** @param {import('./settings.js').Settings} settings */
function openPage(settings) {
  const { name: _, network, ...kernelSettings } = settings;
  const peer = new Peer(kernelSettings, (port, onFailure) => serveNetwork({ network, log: settings.log }, port, onFailure));
  const log = new view.MessageLog();
  /** @type {string | undefined} The object that messages of the page go to. */
  let target;

  const showTarget = (/** @type {string | undefined} */ redeemed) => {
    target = redeemed;
    view.showTarget(target);
  };
  /** @param {() => Promise<unknown>} action what a person asked for; its failure is shown to them */
  const attempt = async (action) => {
    view.showProblem(undefined);
    try {
      await action();
    } catch (error) {
      view.showProblem(error);
    }
  };
  const start = () => attempt(() => peer.start());

  peer.onNews = (news) => log.add(news);
  peer.onState = () => {
    view.showState(peer.state);
    if (peer.state.status === 'running') {
      const shown = /** @type {HTMLInputElement} */ (view.element('url'));
      void attempt(async () => {
        shown.value = await peer.call('url');
      });
    } else {
      showTarget(undefined);
    }
  };

  view.element('restart').addEventListener('click', start);
  view.element('copy').addEventListener('click', () => attempt(async () => {
    const url = /** @type {HTMLInputElement} */ (view.element('url'));
    url.select();
    await navigator.clipboard.writeText(url.value);
  }));
  view.element('redeem').addEventListener('submit', (event) => {
    event.preventDefault();
    const url = /** @type {HTMLInputElement} */ (view.element('foreign-url')).value.trim();
    void attempt(async () => showTarget(await peer.call('redeem', url)));
  });
  view.element('send').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = /** @type {HTMLInputElement} */ (view.element('text'));
    void attempt(async () => {
      await peer.call('send', target, 'echo', text.value);
      text.value = '';
    });
  });
  setInterval(async () => {
    if (peer.state.status === 'running') {
      // A kernel that is stopped meanwhile has no remotes to show.
      view.showRemotes(await peer.call('remotes').catch(() => []));
    }
  }, REMOTES_EVERY_MS);

  Object.assign(window, {
    demo: {
      ...demoApi(peer),
      /** Ends kernel and network at once, without a goodbye. */
      stop: () => peer.stop(),
      /** Starts kernel and network on an empty store: the same peer, a new incarnation. */
      start: () => peer.start(),
    },
  });
  view.showSettings(settings);
  void start();
}

try {
  openPage(readSettings(new URLSearchParams(location.search)));
} catch (error) {
  view.showState({ status: 'error', error: /** @type {Error} */ (error) });
}
