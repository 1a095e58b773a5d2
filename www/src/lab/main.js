// The lab's page: reads the address, starts the kernels, and keeps what is shown up to date.

import { advise } from './advice.js';
import { readAddress } from './address.js';
import { compare } from './compare.js';
import { count, element, html, write } from './dom.js';
import { Lab } from './lab.js';
import { Log } from './log.js';
import { mark, nameOf } from './marks.js';
import { Panel } from './panel.js';
import { Picture } from './picture.js';
import { showScenes } from './scenes.js';
import { deleteForgottenStores } from './stores.js';
import { Timelines } from './timeline.js';
import { PROMISES, Trials } from './trials.js';
import { until } from './waiting.js';
import { showTally } from './tally.js';

/** How often kernels and networks are asked what they know, in milliseconds; a page with many asks less often. */
const SAMPLE_MS = 500;
const SAMPLE_MANY_MS = 1_500;
const MANY_KERNELS = 8;
/** How long a relay may take to answer at the beginning, in milliseconds. */
const RELAY_LIMIT_MS = 8_000;
/** Incidents that are marked on the timelines. */
const INCIDENTS = 100;

/** @typedef {import('./lab-kernel.js').LabKernel} LabKernel */

/** @param {unknown} error or nothing, to take the last one away */
function showProblem(error) {
  const problem = element('problem');
  problem.hidden = error === undefined;
  write(/** @type {Element} */ (problem.firstElementChild), error === undefined ? '' : advise(error));
}

/** @param {import('./address.js').LabAddress} address */
function openLab({ relays, redeem, kernels, storage, place, options, log: logLevel }) {
  const busy = element('busy');
  const log = new Log();
  /** @type {{ at: number, kernel: string, text: string }[]} */
  const incidents = [];
  let chosen = '';
  let isDue = false;

  const lab = new Lab({ relays, options, log: logLevel }, {
    onEntry: (entry) => {
      log.add(entry);
      if (['line', 'life', 'restart', 'give-up'].includes(entry.kind)) {
        incidents.push({ at: entry.at, kernel: entry.kernel, text: `${entry.kernel} ${entry.text}` });
        incidents.splice(0, incidents.length - INCIDENTS);
      }
    },
    onChange: () => redraw(),
    onFrames: (kernel, peer, group) => picture.addFrames(kernel, peer, group),
    onObservation: (kernel, seen) => picture.addObservation(kernel, seen),
  });
  const selected = () => lab.find(chosen) ?? lab.kernels[0];
  const select = (/** @type {string} */ name) => {
    chosen = name;
    redraw();
  };
  const picture = new Picture(element('picture'), lab, select);
  const timelines = new Timelines(element('timelines'));
  const trials = new Trials(element('trials'), lab);

  /**
   * @param {() => Promise<unknown>} action
   * @param {HTMLElement} [button] is held down meanwhile
   */
  const attempt = async (action, button) => {
    showProblem(undefined);
    button?.setAttribute('aria-busy', 'true');
    try {
      await action();
    } catch (error) {
      showProblem(error);
    } finally {
      button?.removeAttribute('aria-busy');
      redraw();
    }
  };
  const panel = new Panel({ lab, trials, selected, attempt });

  function redraw() {
    if (!isDue) {
      isDue = true;
      requestAnimationFrame(() => {
        isDue = false;
        draw();
      });
    }
  }

  function draw() {
    const kernel = selected();
    if (!kernel) {
      return;
    }
    chosen = kernel.name;
    drawPicker();
    panel.draw();
    picture.draw(chosen);
    const isCut = lab.kernels.every(({ line }) => line.cut);
    write(element('relay-cut'), isCut ? 'Heal all lines' : 'Cut all lines');
    log.setKernels(lab.kernels.map(({ name }) => name));
  }

  function drawPicker() {
    const picker = element('kernels');
    const wanted = lab.kernels.map(({ name, life }) => `${name} ${life?.number}`).join();
    if (picker.dataset.shown !== wanted) {
      picker.dataset.shown = wanted;
      const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.kernel;
      picker.replaceChildren(...lab.kernels.map((kernel) => {
        const looks = { type: 'button', class: 'pick', 'data-kernel': kernel.name };
        const button = html('button', looks, mark(kernel.life), kernel.name);
        button.addEventListener('click', () => select(kernel.name));
        return button;
      }));
      if (focused) {
        /** @type {HTMLElement | null} */ (picker.querySelector(`[data-kernel="${focused}"]`))?.focus();
      }
    }
    for (const button of picker.children) {
      const kernel = lab.find(/** @type {HTMLElement} */ (button).dataset.kernel ?? '');
      const { life, condition } = kernel ?? {};
      button.setAttribute('aria-pressed', String(kernel?.name === chosen));
      button.setAttribute('aria-label', `Kernel ${life ? nameOf(life) : kernel?.name}, ${condition}`);
      button.classList.toggle('away', condition !== 'running');
    }
  }

  async function tick() {
    await lab.sample();
    const kernel = selected();
    if (kernel && !document.hidden) {
      showTally(element('tally'), lab.ledger.tally());
      trials.update();
      panel.drawProgress();
      await panel.drawMemory().catch(() => {}); // it was ended meanwhile
      picture.draw(chosen);
      element('no-timelines').hidden = timelines.draw(lab, kernel, incidents);
    }
    setTimeout(tick, lab.kernels.length > MANY_KERNELS ? SAMPLE_MANY_MS : SAMPLE_MS);
  }

  if (!isSecureContext) {
    const [durable, memory] = element('add').querySelectorAll('input');
    durable.disabled = true;
    memory.checked = true;
    element('no-durable').hidden = false;
  }
  element('add').addEventListener('submit', (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const said = new FormData(form);
    const value = (/** @type {string} */ name) => /** @type {any} */ (said.get(name));
    void attempt(async () => {
      write(busy, 'A kernel starts…');
      try {
        const added = await lab.add({ storage: value('storage'), place: value('place') });
        select(added.name);
        const other = lab.kernels.find((kernel) => kernel !== added && kernel.condition === 'running');
        if (other) {
          write(busy, `${added.name} and ${other.name} are introduced to each other…`);
          await lab.introduce(added, other);
          await lab.introduce(other, added);
        }
      } finally {
        write(busy, '');
      }
    }, form.querySelector('button') ?? undefined);
  });
  element('relay-cut').addEventListener('click', () => attempt(async () => {
    const cut = !lab.kernels.every(({ line }) => line.cut);
    const [title, promise, said] = cut
      ? ['Cut all lines to the relay', PROMISES.cutAll, 'its line was cut']
      : ['Heal all lines', PROMISES.heal, 'its line was healed'];
    trials.begin({ title, promise });
    await Promise.all(lab.kernels.map((kernel) => lab.setLine(kernel, { cut }, said)));
  }));
  element('problem').querySelector('button')?.addEventListener('click', () => showProblem(undefined));

  /** @param {() => Promise<void>} play while no other scene can be begun */
  const onStage = async (play) => {
    const buttons = [...element('scenes').querySelectorAll('button')];
    const hold = (/** @type {boolean} */ held) => buttons.forEach((button) => {
      button.disabled = held;
    });
    hold(true);
    try {
      await play();
    } finally {
      write(busy, '');
      hold(false);
    }
  };
  const tell = (/** @type {string} */ step) => write(busy, step);
  showScenes(element('scenes'), (scene) => attempt(async () => {
    const from = selected();
    const to = lab.kernels.find((kernel) => kernel !== from && kernel.condition === 'running');
    if (from.condition !== 'running' || !to) {
      throw new Error('this needs two running kernels: revive the one that was killed, or add another');
    }
    await onStage(async () => {
      if (!from.targets.has(to.name)) {
        await lab.introduce(from, to);
      }
      trials.begin({ title: `${scene.name}: ${from.name} to ${to.name}`, promise: scene.promise });
      await scene.play({ lab, from, to, tell });
    });
  }), () => attempt(() => onStage(() => compare({ lab, trials, tell }))));

  /** Starts the kernels that the address asks for, and introduces them in a ring. */
  async function begin() {
    const webrtc = relays.filter((relay) => relay.includes('/webrtc-direct'));
    const both = webrtc.length > 0 && webrtc.length < relays.length;
    const onlyWebrtc = webrtc.length === relays.length;
    for (let index = 0; index < kernels; index += 1) {
      write(busy, `Kernel ${count(index + 1)} of ${count(kernels)} starts…`);
      await lab.add({ storage, place: place ?? (onlyWebrtc || (both && index % 2 === 0) ? 'frame' : 'worker') });
      redraw();
    }
    write(busy, 'The relay is called…');
    const isUp = () => [...lab.relayStates.values()].some(({ state }) => state === 'up');
    await until('the relay', isUp, RELAY_LIMIT_MS).catch(() => {
      throw Object.assign(new Error(`no relay answers at ${relays.join(' or ')}`), { name: 'RelayError' });
    });
    for (const [index, from] of lab.kernels.entries()) {
      const to = lab.kernels[(index + 1) % lab.kernels.length];
      if (from === to) {
        break;
      }
      write(busy, `${from.name} redeems a URL of ${to.name}…`);
      await lab.introduce(from, to);
    }
    if (redeem) {
      write(busy, 'The URL of the link is redeemed…');
      const name = await lab.redeem(lab.kernels[0], redeem);
      trials.begin({ title: 'Ready to talk', promise: PROMISES.redeem });
      redraw();
      requestAnimationFrame(() => {
        /** @type {HTMLSelectElement} */ (element('to')).value = name;
      });
    }
  }

  element('begin').hidden = true;
  element('lab').hidden = false;
  Object.assign(window, { lab }); // for scripts, such as our tests
  void tick();
  void attempt(begin).finally(() => write(busy, ''));
  if (isSecureContext) {
    deleteForgottenStores().catch((error) => console.warn('stores of a page that is gone could not be deleted', error));
  }
}

/** @param {import('./address.js').LabAddress} address without a relay */
function askForRelay(address) {
  const form = element('begin');
  form.hidden = false;
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const relays = /** @type {HTMLTextAreaElement} */ (element('relays')).value.split(/\s+/).filter(Boolean);
    const bad = relays.find((relay) => !/^\/.+\/p2p\/\w+$/.test(relay));
    if (bad !== undefined) {
      const why = `“${bad}” is no address of a relay: it begins with / and ends with /p2p/ and the relay’s peer id`;
      showProblem(Object.assign(new Error(why), { name: 'TypeError' }));
      return;
    }
    showProblem(undefined);
    history.replaceState(null, '', `#${new URLSearchParams(relays.map((relay) => ['relay', relay]))}`);
    openLab({ ...address, relays });
  });
}

try {
  const address = readAddress(location.hash);
  if (address.relays.length > 0) {
    openLab(address);
  } else {
    askForRelay(address);
  }
} catch (error) {
  showProblem(error);
}
addEventListener('hashchange', () => location.reload());
