// A little help with elements.

const SVG = 'http://www.w3.org/2000/svg';

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

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | number | boolean>} [attributes] `true` for one without a value; `false` for none
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function html(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  set(made, attributes);
  made.append(...children);
  return made;
}

/**
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | number | boolean>} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function svg(tag, attributes = {}, ...children) {
  const made = /** @type {SVGElementTagNameMap[T]} */ (document.createElementNS(SVG, tag));
  set(made, attributes);
  made.append(...children);
  return made;
}

/**
 * @param {Element} of
 * @param {Record<string, string | number | boolean>} attributes
 */
export function set(of, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false) {
      of.removeAttribute(name);
    } else {
      of.setAttribute(name, value === true ? '' : String(value));
    }
  }
}

/**
 * Changes a text only if it is another: a live region speaks at each change.
 * @param {Element} of
 * @param {string} text
 */
export function write(of, text) {
  if (of.textContent !== text) {
    of.textContent = text;
  }
}

const NUMBER = new Intl.NumberFormat('en');

/** @param {number} value */
export const count = (value) => NUMBER.format(value);

/**
 * @param {number} value
 * @param {string} one
 * @param {string} [many]
 */
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

export const CLOCK = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
});
