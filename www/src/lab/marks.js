// How a life of a kernel is told from all others: by a colour, a shape and a number.

import { svg } from './dom.js';

/** Colours of lives, as classes of the style sheet. */
export const COLOURS = 8;
/** By the number of the life. */
const SHAPES = /** @type {const} */ (['circle', 'square', 'diamond', 'hexagon', 'triangle', 'pentagon']);

/**
 * @typedef {{ kernel: string, incarnation: string, number: number, colour: number }} Life one incarnation of a kernel of this page
 */

let given = 0;

/**
 * @param {string} kernel
 * @param {string} incarnation
 * @param {number} number the first is 1
 * @returns {Life}
 */
export function newLife(kernel, incarnation, number) {
  const colour = given % COLOURS;
  given += 1;
  return { kernel, incarnation, number, colour };
}

/** @param {Life} life */
export const nameOf = ({ kernel, number }) => `${kernel}, life ${number}`;

/** @param {Life} life */
export const shapeOf = ({ number }) => SHAPES[(number - 1) % SHAPES.length];

/** @type {Record<typeof SHAPES[number], [corners: number, turn: number, scale: number] | undefined>} */
const CORNERS = {
  circle: undefined,
  square: [4, 45, 1.25],
  diamond: [4, 0, 1.3],
  hexagon: [6, 0, 1.12],
  triangle: [3, -90, 1.45],
  pentagon: [5, -90, 1.2],
};

/**
 * The outline of a life's shape as the data of a path.
 * @param {Life} life
 * @param {number} x
 * @param {number} y
 * @param {number} radius of a circle of about the same size
 */
export function outline(life, x, y, radius) {
  const corners = CORNERS[shapeOf(life)];
  if (!corners) {
    return `M${x - radius} ${y}a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0Z`;
  }
  const [count, turn, scale] = corners;
  const points = Array.from({ length: count }, (_, index) => {
    const angle = ((turn + (360 / count) * index) * Math.PI) / 180;
    return `${(x + radius * scale * Math.cos(angle)).toFixed(1)} ${(y + radius * scale * Math.sin(angle)).toFixed(1)}`;
  });
  return `M${points.join('L')}Z`;
}

/**
 * A life's mark, for text.
 * @param {Life | undefined} life
 */
export function mark(life) {
  const shape = life
    ? svg('path', { class: `life life-${life.colour}`, d: outline(life, 12, 12, 8) })
    : svg('circle', { class: 'life none', cx: 12, cy: 12, r: 8 });
  return svg('svg', { class: 'mark', viewBox: '0 0 24 24', 'aria-hidden': 'true' }, shape);
}
