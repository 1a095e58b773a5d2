// The controls of one kernel.

import { count, element, html, write } from './dom.js';
import { showInvitation } from './invite.js';
import { brief, peerOf } from './watch.js';
import { mark, nameOf } from './marks.js';
import { PROMISES } from './trials.js';

/** How slow a throttled line is. */
const THROTTLE = { delayMs: 200, bytesPerSecond: 4_000 };
const SLEEP_MS = 600_000;
const MANY = 1_000;
const MIB = 1_048_576;

/** @type {Record<import('./lab-kernel.js').Condition, string>} */
const CONDITIONS = { starting: 'starting…', running: 'running', killed: 'killed', failed: 'failed' };

/**
 * @typedef {import('./lab-kernel.js').LabKernel} LabKernel
 *
 * @typedef {object} PanelHost
 * @property {import('./lab.js').Lab} lab
 * @property {import('./trials.js').Trials} trials
 * @property {() => LabKernel} selected
 * @property {(action: () => Promise<unknown>, button?: HTMLElement) => Promise<void>} attempt does what a person asked for,
 *   and tells its failure
 */

/** @type {(id: string) => HTMLButtonElement} */
const button = element;

export class Panel {
  #host;
  #to = /** @type {HTMLSelectElement} */ (element('to'));
  /** For whom the invitation is shown: kernel and incarnation. */
  #invited = '';

  /** @param {PanelHost} host */
  constructor(host) {
    this.#host = host;
    this.#bind();
  }

  #bind() {
    const { lab, trials, selected, attempt } = this.#host;
    /**
     * @param {string} id
     * @param {(kernel: LabKernel) => Promise<unknown>} action
     */
    const onClick = (id, action) => button(id).addEventListener('click', () => attempt(() => action(selected()), button(id)));

    element('send').addEventListener('submit', (event) => {
      event.preventDefault();
      const text = /** @type {HTMLInputElement} */ (element('text'));
      void attempt(() => this.#send(1, text.value || 'Hello'));
      text.value = '';
    });
    // Not held down while it sends: it may be stopped, and more may be sent meanwhile.
    button('send-many').addEventListener('click', () => void attempt(() => this.#send(MANY)));
    button('stop').addEventListener('click', () => void attempt(() => selected().call('stopSending')));

    onClick('kill', async (kernel) => {
      const promise = kernel.plan.storage === 'durable' ? PROMISES.killDurable : PROMISES.killMemory;
      trials.begin({ title: `Kill ${kernel.name}`, promise });
      lab.kill(kernel);
    });
    onClick('revive', async (kernel) => {
      const promise = kernel.plan.storage === 'durable' ? PROMISES.reviveSame : PROMISES.reviveNew;
      trials.begin({ title: `Revive ${kernel.name}`, promise });
      await lab.revive(kernel);
    });
    onClick('wipe', async (kernel) => {
      trials.begin({ title: `Wipe the store of ${kernel.name}`, promise: PROMISES.wipe });
      if (kernel.condition === 'running') {
        lab.kill(kernel);
      }
      await lab.revive(kernel, { wipe: true });
    });
    onClick('remove', (kernel) => lab.remove(kernel));

    onClick('cut', (kernel) => this.#setLine(kernel, { cut: !kernel.line.cut }, kernel.line.cut
      ? [`Heal the line of ${kernel.name}`, PROMISES.heal, 'its line was healed']
      : [`Cut the line of ${kernel.name}`, PROMISES.cut, 'its line was cut']));
    onClick('offline', (kernel) => this.#setLine(kernel, { silent: !kernel.line.silent }, kernel.line.silent
      ? [`${kernel.name} goes online`, PROMISES.online, 'is online again']
      : [`${kernel.name} goes offline`, PROMISES.offline, 'went offline: its line is silent']));
    onClick('throttle', (kernel) => this.#setLine(kernel, {
      throttle: kernel.line.throttle ? undefined : THROTTLE,
    }, kernel.line.throttle
      ? [`The line of ${kernel.name} at full speed`, PROMISES.unthrottle, 'its line has full speed']
      : [`Throttle the line of ${kernel.name}`, PROMISES.throttle, 'its line was throttled']));
    onClick('sleep', async (kernel) => {
      trials.begin({ title: `${kernel.name} sleeps for ten minutes`, promise: PROMISES.sleep });
      await lab.sleep(kernel, SLEEP_MS);
    });

    onClick('issue', async (kernel) => {
      const url = await kernel.call('url');
      this.#invited = `${kernel.name} ${kernel.life?.incarnation}`;
      showInvitation(element('invitation'), kernel.name, url, lab.settings.relays);
    });
    element('redeem').addEventListener('submit', (event) => {
      event.preventDefault();
      const input = /** @type {HTMLInputElement} */ (element('foreign-url'));
      const kernel = selected();
      void attempt(async () => {
        trials.begin({ title: `${kernel.name} redeems a URL`, promise: PROMISES.redeem });
        const name = await lab.redeem(kernel, input.value.trim());
        input.value = '';
        this.draw();
        this.#to.value = name;
      }, element('redeem').querySelector('button') ?? undefined);
    });
  }

  /**
   * @param {LabKernel} kernel
   * @param {Partial<import('./line.js').LineState>} change
   * @param {[title: string, promise: string, log: string]} words
   */
  async #setLine(kernel, change, [title, promise, log]) {
    this.#host.trials.begin({ title, promise });
    await this.#host.lab.setLine(kernel, change, log);
  }

  /**
   * @param {number} messages
   * @param {string} [text]
   */
  async #send(messages, text) {
    const { lab, trials, selected } = this.#host;
    const kernel = selected();
    const to = this.#to.value;
    const near = lab.find(to);
    if (!kernel.targets.has(to) && near) {
      await lab.introduce(kernel, near);
    }
    const whom = near?.name ?? `…${to.slice(-6)}`;
    const what = messages === 1 ? `“${text}”` : `${count(messages)} messages`;
    trials.begin({
      title: `${kernel.name} sends ${what} to ${whom}`,
      promise: PROMISES.send,
    });
    await lab.send(kernel, to, messages, text);
  }

  /** Shows the kernel that is chosen. */
  draw() {
    const { lab, selected } = this.#host;
    const kernel = selected();
    const { life, condition, plan, line } = kernel;
    const running = condition === 'running';
    const heading = element('panel-heading');
    const title = `Kernel ${life ? nameOf(life) : kernel.name}`;
    if (heading.textContent?.trim() !== title) {
      heading.replaceChildren(mark(life), ` ${title}`);
    }
    const shown = element('condition');
    shown.className = `condition ${condition}`;
    write(shown, CONDITIONS[condition]);
    write(element('plan'), `${plan.storage === 'durable' ? 'Durable store' : 'Store in memory'}; network in ${
      plan.place === 'worker' ? 'a Worker, over websockets' : 'a frame, over WebRTC where the relay offers it'}.`);
    write(element('peer-id'), kernel.peerId || '–');
    write(element('incarnation'), life?.incarnation ?? '–');
    write(element('kernel-relays'), plan.relays.map((relay) => {
      const { state, reason } = lab.relayStates.get(`${kernel.name} ${peerOf(relay)}`) ?? {};
      return `${relay}: ${state ?? 'not reached yet'}${reason ? `, ${brief(reason)}` : ''}`;
    }).join('\n') || 'none that can be reached from where its network is');

    this.#drawTargets(kernel);
    for (const control of element('send').querySelectorAll('button')) {
      control.disabled = !running || this.#to.options.length === 0;
    }
    button('stop').disabled = !running;
    button('kill').disabled = !running && condition !== 'starting';
    button('revive').disabled = running || condition === 'starting';
    button('wipe').disabled = condition === 'starting';
    button('remove').disabled = lab.kernels.length < 2;
    for (const id of ['issue', 'sleep']) {
      button(id).disabled = !running;
    }
    write(button('cut'), line.cut ? 'Heal the line' : 'Cut the line');
    write(button('offline'), line.silent ? 'Go online' : 'Go offline');
    write(button('throttle'), line.throttle ? 'Full speed' : 'Throttle');
    const redeem = element('redeem').querySelector('button');
    if (redeem) {
      redeem.disabled = !running;
    }
    const invitation = element('invitation');
    if (this.#invited !== `${kernel.name} ${life?.incarnation}` || !running) {
      invitation.hidden = true;
    }
    this.drawProgress();
  }

  /** @param {LabKernel} kernel */
  #drawTargets(kernel) {
    const { lab } = this.#host;
    const near = lab.kernels.filter((other) => other !== kernel).map(({ name }) => name);
    const away = [...kernel.targets.keys()].filter((name) => !lab.find(name) && !lab.departed.has(name) && name.length > 8);
    const names = [...near, ...away];
    if ([...this.#to.options].map(({ value }) => value).join() !== names.join()) {
      const before = this.#to.value;
      this.#to.replaceChildren(...names.map((name) =>
        html('option', { value: name }, name.length > 8 ? `elsewhere …${name.slice(-6)}` : `kernel ${name}`)));
      this.#to.value = names.includes(before) ? before : names[0] ?? '';
    }
  }

  /** Shows what the modules of the kernel that is chosen take. */
  async drawMemory() {
    const chosen = this.#host.selected();
    const { kernel, network } = await chosen.memory();
    if (chosen === this.#host.selected()) {
      write(element('memory'), `kernel ${(kernel / MIB).toFixed(1)} MiB, network ${(network / MIB).toFixed(1)} MiB`);
    }
  }

  /** Shows how far what it sends is. */
  drawProgress() {
    const { orders } = this.#host.selected();
    const progress = /** @type {HTMLProgressElement} */ (element('progress'));
    const many = orders.filter((order) => order.count > 1);
    const total = many.reduce((sum, order) => sum + order.count, 0);
    const sent = many.reduce((sum, { book, first, count: all }) => sum + Math.min(all, Math.max(0, book.lastSent - first + 1)), 0);
    progress.hidden = total === 0;
    button('stop').hidden = total === 0;
    progress.max = Math.max(1, total);
    progress.value = sent;
    progress.textContent = `${sent} of ${total}`;
  }
}
