// What a person sees. It may be closed at any moment: everything that lasts is in the host.

import { demoApi } from '../src/demo-api.js';
import { element, lineOf, listItem, showProblem } from '../src/view.js';
import { Wallet } from './wallet.js';

const SHOWN = 50;
const REMOTES_EVERY_MS = 1_000;

/** @type {Record<import('./host.js').HostState['status'], string>} */
const STATUS = { stopped: 'Starting…', starting: 'Starting…', running: 'Running', error: 'Error' };
/** @type {Record<import('ocap-remotes/network').PeerState, [text: string, status: string]>} */
const PEER_STATES = {
  idle: ['Idle', ''],
  waiting: ['Will retry', ''],
  dialling: ['Dialling', ''],
  handshaking: ['Greeting', ''],
  connected: ['Connected', 'running'],
  closed: ['Closed', ''],
  failed: ['Unreachable', 'error'],
};
/** @type {Record<import('ocap-remotes/network').RelayStatus['state'], [text: string, status: string]>} */
const RELAY_STATES = { up: ['Up', 'running'], down: ['Down', ''], givenUp: ['Unreachable', 'error'] };
const CHANNELS = { ws: 'websocket', 'webrtc-direct': 'WebRTC', relayed: 'through a relay', other: 'other transport' };

const wallet = new Wallet();
/** @type {import('ocap-remotes/network').NetworkStatus} */
let network = { peers: [], relays: [] };
/** @type {Map<string, number>} Unacknowledged messages by peer. */
let pending = new Map();
/** @type {ReturnType<typeof listItem>[]} Newest first. */
let lines = [];

const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (element(id));
const buttonOf = (/** @type {string} */ form) => /** @type {HTMLButtonElement} */ (element(form).querySelector('button'));

/** @param {() => Promise<unknown>} action what a person asked for; its failure is shown to them */
async function attempt(action) {
  showProblem(undefined);
  try {
    await action();
  } catch (error) {
    showProblem(error);
  }
}

/**
 * @param {string} form
 * @param {() => Promise<unknown>} action
 */
function onSubmit(form, action) {
  element(form).addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = buttonOf(form);
    button.disabled = true;
    await attempt(action);
    button.disabled = false;
  });
}

/**
 * @param {string} id
 * @param {[text: string, status: string]} state
 * @param {string} detail
 */
function row(id, [text, status], detail) {
  const item = document.createElement('li');
  const parts = [['id', id], ['state', text], ['detail', detail]].map(([className, content]) => {
    const span = document.createElement('span');
    span.className = className;
    span.textContent = content;
    return span;
  });
  parts[0].title = id;
  parts[1].dataset.status = status;
  item.append(...parts.slice(0, detail === '' ? 2 : 3));
  return item;
}

/** @param {import('ocap-remotes/network').PeerStatus} peer */
function peerRow({ peerId, state, channel, lastError }) {
  const waiting = pending.get(peerId) ?? 0;
  const detail = [
    channel && CHANNELS[channel.kind],
    channel?.roundTripMs != null && `${channel.roundTripMs.toFixed(0)} ms`,
    waiting > 0 && `${waiting} not acknowledged`,
    !channel && lastError?.reason,
  ];
  return row(peerId, PEER_STATES[state], detail.filter(Boolean).join(' · '));
}

function showNetwork() {
  element('peers').replaceChildren(...network.peers.map(peerRow));
  element('no-peers').hidden = network.peers.length > 0;
  element('relays').replaceChildren(...network.relays.map(({ relay, state, reason }) =>
    row(relay, RELAY_STATES[state], state === 'up' ? '' : reason ?? '')));
  element('no-relays').hidden = network.relays.length > 0;
}

wallet.onNetwork = (status) => {
  network = status;
  showNetwork();
};

wallet.onEntries = (entries) => {
  const fresh = entries.map(({ at, news }) => listItem({ time: new Date(at), ...lineOf(news) })).reverse();
  lines = [...fresh, ...lines].slice(0, SHOWN);
  element('messages').replaceChildren(...lines);
  element('no-messages').hidden = lines.length > 0;
};

wallet.onState = () => {
  const { state } = wallet;
  const shown = element('state');
  shown.textContent = STATUS[state.status];
  shown.dataset.status = state.status;
  showProblem(state.status === 'error' ? state.error : undefined);
  const { contact } = state;
  element('contact').textContent = contact ? `…${contact.peerId.slice(-8)}` : 'nobody yet';
  buttonOf('send').disabled = contact === undefined;
  /** @type {HTMLButtonElement} */ (element('copy')).disabled = state.status !== 'running';
  if (state.status === 'running') {
    element('peer-id').textContent = state.peerId;
    element('incarnation').textContent = state.incarnationId;
    void attempt(async () => {
      input('url').value = await wallet.call('url');
      input('relay-addresses').value = (await wallet.call('settings')).relays.join('\n');
    });
  }
};

element('copy').addEventListener('click', () => attempt(async () => {
  input('url').select();
  await navigator.clipboard.writeText(input('url').value);
}));

onSubmit('redeem', async () => {
  await wallet.call('redeem', input('foreign-url').value.trim());
  input('foreign-url').value = '';
});

onSubmit('send', async () => {
  await wallet.call('send', wallet.state.contact?.object, 'echo', input('text').value);
  input('text').value = '';
});

onSubmit('settings', async () => {
  const { options } = await wallet.call('settings');
  await wallet.call('saveSettings', { relays: input('relay-addresses').value.split(/\s+/).filter(Boolean), options });
});

setInterval(async () => {
  if (wallet.state.status === 'running') {
    // One that is stopped meanwhile has no remotes to show.
    const remotes = await wallet.call('remotes').catch(() => []);
    pending = new Map(remotes.map((/** @type {import('ocap-remotes/kernel').RemoteStatus} */ { peerId, pending }) => [peerId, pending]));
    showNetwork();
  }
}, REMOTES_EVERY_MS);

Object.assign(window, {
  demo: { ...demoApi(wallet), saveSettings: (/** @type {unknown} */ settings) => wallet.call('saveSettings', settings) },
});
void wallet.connect();
