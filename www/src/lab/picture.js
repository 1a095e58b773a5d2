// The live picture: kernels around their relays, channels between them, and every frame on its way.

import { count, svg } from './dom.js';
import { nameOf, outline } from './marks.js';
import { peerOf } from './watch.js';

/** @typedef {{ x: number, y: number }} Point */

/** How long a frame is shown on each half of its way, in milliseconds; real ones are quicker than the eye. */
const HALF_MS = 420;
/** How long a frame may wait in the middle for the news that it arrived, in milliseconds. */
const PATIENCE_MS = 1_600;
/** How long it stays after it was given up, in milliseconds. */
const FADE_MS = 900;
/** Frames shown at once; beyond that they are counted only. */
const MOST_DOTS = 70;
/** From how many on frames that go together are counted. */
const MANY_FRAMES = 20;
/** Where a frame stops whose sender has no line. */
const BEFORE_THE_CUT = 0.16;
/** How far the ways of the two directions are apart at the relay, in pixels. */
const ASIDE = 60;
const RADIUS = 21;

/**
 * @typedef {object} Dot
 * @property {SVGGElement} shape
 * @property {string} from a peer id
 * @property {string} to
 * @property {number | undefined} lastSeq
 * @property {number} t how far it is, from 0 to 1
 * @property {boolean} arrived whether its receiver has it
 * @property {number} waited in milliseconds
 * @property {number | undefined} failedFor in milliseconds
 */

export class Picture {
  #svg = svg('svg', { role: 'img' });
  #wires = svg('g');
  #tubes = svg('g');
  #nodes = svg('g');
  #dots = svg('g');
  /** @type {Dot[]} */
  #moving = [];
  /** @type {Map<string, Point>} By peer id, of kernels and relays. */
  #places = new Map();
  #size = { width: 0, height: 0 };
  /** @type {Map<string, { seq: number, at: number }>} The last arrival, by both peer ids. */
  #arrivals = new Map();
  #lab;
  #onSelect;
  #last = 0;
  #stillness = matchMedia('(prefers-reduced-motion: reduce)');
  #selected = '';

  /**
   * @param {HTMLElement} container
   * @param {import('./lab.js').Lab} lab
   * @param {(name: string) => void} onSelect
   */
  constructor(container, lab, onSelect) {
    this.#lab = lab;
    this.#onSelect = onSelect;
    this.#svg.append(this.#tubes, this.#wires, this.#dots, this.#nodes);
    container.append(this.#svg);
    new ResizeObserver(([{ contentRect }]) => {
      const width = Math.round(contentRect.width);
      if (width > 0 && width !== this.#size.width) {
        this.#size.width = width;
        this.draw(this.#selected);
      }
    }).observe(container);
  }

  /** The relays of all kernels: peer ids. */
  get #relays() {
    return [...new Set(this.#lab.settings.relays.map(peerOf))];
  }

  #arrange() {
    const others = [...this.#lab.kernels.map((kernel) => kernel.peerId || kernel.name), ...this.#lab.elsewhere];
    const { width } = this.#size;
    // Two are beside each other; more need a circle.
    const height = Math.round(others.length <= 2 ? 200 : Math.min(380, Math.max(280, width * 0.5)));
    if (height !== this.#size.height || !this.#svg.viewBox.baseVal || this.#svg.viewBox.baseVal.width !== width) {
      this.#size.height = height;
      this.#svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    }
    const centre = { x: width / 2, y: height / 2 };
    const across = Math.max(60, width / 2 - Math.max(46, width * 0.1));
    const down = height / 2 - 58;
    this.#places.clear();
    this.#relays.forEach((relay, index, { length }) => {
      this.#places.set(relay, { x: centre.x + (index - (length - 1) / 2) * 96, y: centre.y });
    });
    others.forEach((peer, index, { length }) => {
      const angle = Math.PI + (index * 2 * Math.PI) / Math.max(2, length);
      this.#places.set(peer, { x: centre.x + across * Math.cos(angle), y: centre.y + down * Math.sin(angle) });
    });
  }

  /** @param {string} selected the name of the kernel that is chosen */
  draw(selected) {
    this.#selected = selected;
    if (this.#size.width === 0) {
      return;
    }
    this.#arrange();
    const { kernels } = this.#lab;
    this.#wires.replaceChildren(...kernels.flatMap((kernel) => this.#relays.flatMap((relay) => this.#drawWire(kernel, relay))));
    this.#tubes.replaceChildren(...this.#drawTubes());
    this.#nodes.replaceChildren(
      ...this.#relays.map((relay) => this.#drawRelay(relay)),
      ...kernels.map((kernel) => this.#drawKernel(kernel)),
      ...this.#lab.elsewhere.map((peerId) => this.#drawElsewhere(peerId)),
    );
    this.#svg.setAttribute('aria-label', this.#describe());
  }

  #describe() {
    const { kernels, elsewhere } = this.#lab;
    const relays = this.#relays.length;
    const each = kernels.map((kernel) => {
      const { life, condition, line } = kernel;
      const state = line.cut ? ', cut off' : line.silent ? ', offline' : line.throttle ? ', slow' : '';
      return `${life ? nameOf(life) : kernel.name}: ${condition}${state}`;
    });
    const away = elsewhere.length > 0 ? ` ${elsewhere.length} more elsewhere.` : '';
    return `${kernels.length} kernels around ${relays === 1 ? 'a relay' : `${relays} relays`}. ${each.join('; ')}.${away}`;
  }

  /**
   * @param {import('./lab-kernel.js').LabKernel} kernel
   * @param {string} relay
   */
  #drawWire(kernel, relay) {
    const [from, to] = [this.#places.get(kernel.peerId || kernel.name), this.#places.get(relay)];
    if (!from || !to || kernel.condition !== 'running') {
      return [];
    }
    const { line } = kernel;
    const up = this.#lab.relayStates.get(`${kernel.name} ${relay}`)?.state === 'up';
    const look = line.cut ? 'cut' : line.silent ? 'silent' : line.throttle ? 'slow' : up ? 'up' : 'down';
    const wire = svg('line', { class: `wire ${look}`, x1: from.x, y1: from.y, x2: to.x, y2: to.y });
    if (!line.cut && !line.silent) {
      return [wire];
    }
    const gap = between(from, to, 0.4);
    const text = svg('text', { class: 'wire-label', x: gap.x, y: gap.y - 12, 'text-anchor': 'middle' }, line.cut ? 'cut' : 'offline');
    return [wire, cross(gap, 7), text];
  }

  #drawTubes() {
    /** @type {Set<string>} */
    const drawn = new Set();
    const tubes = [];
    for (const kernel of this.#lab.kernels.filter(({ condition }) => condition === 'running')) {
      for (const peerId of this.#lab.samples.remotes(kernel.name)) {
        const pair = [kernel.peerId, peerId].sort().join(' ');
        const sample = this.#lab.samples.last(kernel.name, peerId);
        const [from, to] = [this.#places.get(kernel.peerId), this.#places.get(peerId)];
        if (from && to && !drawn.has(pair) && sample?.state === 'connected') {
          drawn.add(pair);
          const via = this.#control(from, to, 0);
          tubes.push(svg('path', { class: 'tube', d: `M${from.x} ${from.y}Q${via.x} ${via.y} ${to.x} ${to.y}` }));
        }
      }
    }
    return tubes;
  }

  /** @param {string} relay */
  #drawRelay(relay) {
    const { x, y } = /** @type {Point} */ (this.#places.get(relay));
    const states = this.#lab.kernels.map(({ name }) => this.#lab.relayStates.get(`${name} ${relay}`)?.state);
    const up = states.filter((state) => state === 'up').length;
    return svg('g', { class: `relay ${up > 0 ? 'up' : 'down'}` },
      svg('rect', { x: x - 26, y: y - 15, width: 52, height: 30, rx: 6 }),
      svg('text', { x, y: y + 5, 'text-anchor': 'middle' }, 'relay'));
  }

  /** @param {import('./lab-kernel.js').LabKernel} kernel */
  #drawKernel(kernel) {
    const { x, y } = /** @type {Point} */ (this.#places.get(kernel.peerId || kernel.name));
    const { life, condition, name } = kernel;
    const group = svg('g', { class: `kernel ${condition}${name === this.#selected ? ' selected' : ''}` });
    if (name === this.#selected) {
      group.append(svg('circle', { class: 'halo', cx: x, cy: y, r: RADIUS + 9 }));
    }
    if (life) {
      group.append(svg('path', { class: `life life-${life.colour}`, d: outline(life, x, y, RADIUS) }));
    } else {
      group.append(svg('circle', { class: 'life none', cx: x, cy: y, r: RADIUS }));
    }
    group.append(svg('text', { class: `letter life-${life?.colour ?? ''}`, x, y: y + 6, 'text-anchor': 'middle' }, name));
    if (condition === 'killed' || condition === 'failed') {
      group.append(cross({ x, y }, RADIUS * 0.9));
    }
    const below = condition === 'running' ? (life ? `life ${life.number}` : '') : condition;
    group.append(svg('text', { class: 'below', x, y: y + RADIUS + 21, 'text-anchor': 'middle' }, below));
    group.addEventListener('click', () => this.#onSelect(name));
    return group;
  }

  /** @param {string} peerId */
  #drawElsewhere(peerId) {
    const { x, y } = /** @type {Point} */ (this.#places.get(peerId));
    return svg('g', { class: 'kernel elsewhere' },
      svg('circle', { class: 'life none', cx: x, cy: y, r: RADIUS }),
      svg('text', { class: 'below', x, y: y + 5, 'text-anchor': 'middle' }, '?'),
      svg('text', { class: 'below', x, y: y + RADIUS + 21, 'text-anchor': 'middle' }, 'elsewhere'),
      svg('text', { class: 'below', x, y: y + RADIUS + 37, 'text-anchor': 'middle' }, `…${peerId.slice(-6)}`));
  }

  /**
   * The control point of a way that passes the nearest relay in its middle, `aside` of it.
   * @param {Point} from
   * @param {Point} to
   * @param {number} aside
   */
  #control(from, to, aside) {
    const middle = between(from, to, 0.5);
    const [relay = middle] = this.#relays
      .map((peer) => /** @type {Point} */ (this.#places.get(peer)))
      .sort((one, other) => distance(one, middle) - distance(other, middle));
    const length = distance(from, to) || 1;
    return {
      x: 2 * relay.x - middle.x - ((to.y - from.y) / length) * aside,
      y: 2 * relay.y - middle.y + ((to.x - from.x) / length) * aside,
    };
  }

  /**
   * @param {import('./lab-kernel.js').LabKernel} kernel
   * @param {string} peerId
   * @param {import('./watch.js').Group} group
   */
  addFrames(kernel, peerId, { direction, look, count: frames, lastSeq }) {
    if (direction === 'in') {
      this.#arrivals.set(`${peerId} ${kernel.peerId}`, { seq: lastSeq ?? 0, at: performance.now() });
      for (const dot of this.#moving) {
        if (dot.from === peerId && dot.to === kernel.peerId && (dot.lastSeq ?? 0) <= (lastSeq ?? 0)) {
          dot.arrived = true;
        }
      }
      if (!this.#lab.findPeer(peerId)) {
        this.#launch(peerId, kernel.peerId, frameShape(look, undefined, frames), undefined, true);
      }
      return;
    }
    const shape = frameShape(look, kernel.life, frames);
    // Its receiver may have told of it before its sender did; one in another page never tells.
    const arrival = this.#arrivals.get(`${kernel.peerId} ${peerId}`);
    const isThere = arrival && arrival.seq >= (lastSeq ?? 0) && performance.now() - arrival.at < PATIENCE_MS;
    this.#launch(kernel.peerId, peerId, shape, lastSeq, isThere || lastSeq === undefined || !this.#lab.findPeer(peerId));
  }

  /**
   * @param {import('./lab-kernel.js').LabKernel} kernel
   * @param {import('./tap.js').Observation} seen
   */
  addObservation(kernel, seen) {
    if (seen.type === 'handshake') {
      const life = this.#lab.findPeer(seen.peer)?.life;
      const shape = svg('g', {}, svg('path', { class: `dot ${life ? `life-${life.colour}` : ''}`, d: 'M0-8l8 8-8 8-8-8Z' }));
      this.#launch(seen.peer, kernel.peerId, shape, undefined, true);
    } else if (seen.type === 'givenUp') {
      this.#launch(kernel.peerId, seen.peer, svg('g'), undefined, false);
    }
  }

  /**
   * @param {string} from
   * @param {string} to
   * @param {SVGGElement} shape
   * @param {number | undefined} lastSeq
   * @param {boolean} arrived
   */
  #launch(from, to, shape, lastSeq, arrived) {
    if (this.#moving.length >= MOST_DOTS || document.hidden || !this.#places.has(from) || !this.#places.has(to)) {
      return;
    }
    // Without motion it appears in the middle of its way and goes again.
    const t = this.#stillness.matches ? 0.5 : 0;
    this.#moving.push({ shape, from, to, lastSeq, t, arrived, waited: 0, failedFor: undefined });
    this.#dots.append(shape);
    if (this.#moving.length === 1) {
      this.#last = performance.now();
      requestAnimationFrame((now) => this.#move(now));
    }
  }

  /** @param {number} now */
  #move(now) {
    const passed = Math.min(100, Math.max(0, now - this.#last));
    this.#last = now;
    this.#moving = this.#moving.filter((dot) => {
      if (!this.#advance(dot, passed)) {
        dot.shape.remove();
        return false;
      }
      return true;
    });
    if (this.#moving.length > 0) {
      requestAnimationFrame((next) => this.#move(next));
    }
  }

  /**
   * @param {Dot} dot
   * @param {number} passed milliseconds since the last time
   */
  #advance(dot, passed) {
    const [from, to] = [this.#places.get(dot.from), this.#places.get(dot.to)];
    if (!from || !to) {
      return false;
    }
    const line = this.#lab.findPeer(dot.from)?.line;
    const end = dot.arrived ? 1 : line?.cut || line?.silent ? BEFORE_THE_CUT : 0.5;
    if (this.#stillness.matches) {
      dot.waited += passed;
      if (dot.waited > HALF_MS && dot.arrived) {
        return false;
      }
    } else if (dot.t < end) {
      dot.t = Math.min(end, dot.t + passed / (2 * HALF_MS));
    } else {
      dot.waited += passed;
    }
    if (dot.t >= 1) {
      return false;
    }
    if (!dot.arrived && dot.waited > PATIENCE_MS) {
      if (dot.failedFor === undefined) {
        dot.shape.replaceChildren(cross({ x: 0, y: 0 }, 6));
        dot.failedFor = 0;
      }
      dot.failedFor += passed;
      if (dot.failedFor > FADE_MS) {
        return false;
      }
    }
    const via = this.#control(from, to, ASIDE);
    const { t } = dot;
    const along = (/** @type {'x' | 'y'} */ axis) =>
      ((1 - t) ** 2 * from[axis] + 2 * t * (1 - t) * via[axis] + t ** 2 * to[axis]).toFixed(1);
    dot.shape.setAttribute('transform', `translate(${along('x')} ${along('y')})`);
    return true;
  }
}

/**
 * @param {import('./watch.js').Group['look']} look
 * @param {import('./marks.js').Life | undefined} life of the sender
 * @param {number} frames
 */
function frameShape(look, life, frames) {
  const colour = life ? `life-${life.colour}` : '';
  const radius = Math.min(9, 4 + Math.log2(frames));
  const isAck = look === 'ack';
  const shape = svg('g', {}, svg('circle', { class: `dot ${colour} ${isAck ? 'hollow' : ''}`, r: isAck ? 3 : radius }));
  if (look === 'again') {
    shape.append(svg('circle', { class: `dot hollow ${colour}`, r: radius + 4 }));
  }
  if (frames >= MANY_FRAMES) {
    shape.append(svg('text', { class: 'frames', x: 0, y: -radius - 6, 'text-anchor': 'middle' }, `×${count(frames)}`));
  }
  return shape;
}

/**
 * @param {Point} at
 * @param {number} size
 */
function cross({ x, y }, size) {
  const d = `M${x - size} ${y - size}L${x + size} ${y + size}M${x + size} ${y - size}L${x - size} ${y + size}`;
  return svg('path', { class: 'stroke bad', d });
}

/**
 * @param {Point} from
 * @param {Point} to
 * @param {number} t
 */
const between = (from, to, t) => ({ x: from.x + (to.x - from.x) * t, y: from.y + (to.y - from.y) * t });

/**
 * @param {Point} one
 * @param {Point} other
 */
const distance = (one, other) => Math.hypot(one.x - other.x, one.y - other.y);
