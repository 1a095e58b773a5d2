// What the page shows. It reads the state and draws it; it decides nothing.

import { describe } from './errors.js';

/** Lines of the message list; the oldest go first. */
const SHOWN = 50;

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
  hour12: false,
});

/** @type {Record<import('./peer.js').PeerState['status'], string>} */
const STATUS = { stopped: 'Stopped', starting: 'Starting…', running: 'Running', error: 'Error' };

/** @type {Record<import('./settings.js').Settings['network'], string>} */
const ARRANGEMENT = {
  window: 'in this window: websockets and WebRTC',
  worker: 'in a second Worker: websockets only',
};

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) {
    throw new Error(`this page has no #${id}`);
  }
  return /** @type {T} */ (found);
}

/** @param {unknown} error or nothing, to take the last one away */
export function showProblem(error) {
  const problem = element('problem');
  problem.hidden = error === undefined;
  problem.textContent = error === undefined ? '' : describe(error);
}

/** @param {import('./settings.js').Settings} settings */
export function showSettings({ name, network, relays }) {
  document.title = `${name} · ocap-remotes`;
  element('name').textContent = name;
  element('network').textContent = ARRANGEMENT[network];
  element('relays').textContent = relays.join('\n') || 'none: add ?relay=<multiaddr> to the address of this page';
}

/** @param {import('./peer.js').PeerState} state */
export function showState(state) {
  const shown = element('state');
  shown.textContent = STATUS[state.status];
  shown.dataset.status = state.status;
  if (state.status === 'running') {
    element('peer-id').textContent = state.peerId;
    element('incarnation').textContent = state.incarnationId;
  }
  showProblem(state.status === 'error' ? state.error : undefined);
}

/** @param {string | undefined} target the object that was redeemed, if any */
export function showTarget(target) {
  element('target').textContent = target ?? 'nobody yet';
  /** @type {HTMLButtonElement} */ (element('send').querySelector('button')).disabled = target === undefined;
}

/** @param {ReturnType<import('ocap-remotes/kernel').Kernel['remotes']>} remotes */
export function showRemotes(remotes) {
  const rows = remotes.map(({ peerId, pending, delivered, duplicates, outOfOrder, rejected, lost }) => {
    const peer = document.createElement('th');
    peer.scope = 'row';
    peer.textContent = peerId;
    const row = document.createElement('tr');
    row.append(peer);
    for (const count of [pending, delivered, duplicates, outOfOrder, rejected, lost]) {
      const cell = row.insertCell();
      cell.className = 'number';
      cell.textContent = String(count);
    }
    return row;
  });
  element('remotes').replaceChildren(...rows);
  element('no-remotes').hidden = remotes.length > 0;
}

/**
 * What is shown of something that happened.
 * @typedef {{ kind: 'sent' | 'received' | 'answered' | 'rejected' | 'remote', text: string, bad: boolean }} Line
 * @param {import('./program.js').News} news
 * @returns {Line}
 */
export function lineOf(news) {
  const call = () => ('method' in news ? `${news.method} ${JSON.stringify(news.value)}` : '');
  switch (news.type) {
    case 'sent':
    case 'received':
      return { kind: news.type, text: call(), bad: false };
    case 'outcome':
      return { kind: news.rejected ? 'rejected' : 'answered', text: `${call()}: ${readable(news.answer)}`, bad: news.rejected };
    case 'remote':
      return { kind: 'remote', text: describeEvent(news.event), bad: true };
  }
}

/** The list of messages, and their counts. */
export class MessageLog {
  #counts = { sent: 0, answered: 0, rejected: 0, received: 0 };
  /** @type {(Line & { time: Date })[]} Newest first. */
  #lines = [];
  #drawing = false;

  /** @param {import('./program.js').News} news */
  add(news) {
    const line = { time: new Date(), ...lineOf(news) };
    if (line.kind !== 'remote') {
      this.#counts[line.kind] += 1;
    }
    this.#lines.unshift(line);
    this.#lines.length = Math.min(this.#lines.length, SHOWN);
    // Messages come by the hundred; the screen is drawn once for all of a frame.
    if (!this.#drawing) {
      this.#drawing = true;
      requestAnimationFrame(() => this.#draw());
    }
  }

  #draw() {
    this.#drawing = false;
    for (const [id, count] of Object.entries(this.#counts)) {
      element(id).textContent = String(count);
    }
    element('messages').replaceChildren(...this.#lines.map(listItem));
  }
}

/** @param {Line & { time: Date }} line */
export function listItem({ time, kind, text, bad }) {
  const when = document.createElement('time');
  when.dateTime = time.toISOString();
  when.textContent = CLOCK.format(time);
  const item = document.createElement('li');
  const [what, detail] = [kind, text].map((content) => {
    const span = document.createElement('span');
    span.textContent = content;
    return span;
  });
  item.classList.toggle('bad', bad);
  item.append(when, what, detail);
  return item;
}

/** @param {unknown} answer marshalled data, which has errors as `{"#error": message}` */
function readable(answer) {
  return answer instanceof Object && '#error' in answer ? String(answer['#error']) : JSON.stringify(answer);
}

/** @param {import('./program.js').RemoteEvent} event */
function describeEvent(event) {
  switch (event.type) {
    case 'peerRestarted':
      return `${event.peerId} came back as a new incarnation, ${event.incarnation}; messages discarded: `
        + `${event.discarded}, promises rejected: ${event.promisesRejected}`;
    case 'identityShared':
      return `two kernels have the identity of ${event.peerId}: incarnations ${event.incarnation} and ${event.otherIncarnation}`;
    case 'givenUp':
      return `${event.peerId} was given up: ${event.reason}; messages discarded: ${event.discarded}, `
        + `promises rejected: ${event.promisesRejected}`;
    case 'messagesLost':
      return `${event.peerId} abandoned its messages ${event.first} to ${event.last}`;
    case 'messageRejected':
      return `message ${event.seq} of ${event.peerId} could not be processed: ${event.reason}`;
    case 'storeFailed':
      return `the store could not be made durable, so the kernel has stopped; reload the page. ${event.reason}`;
  }
}
