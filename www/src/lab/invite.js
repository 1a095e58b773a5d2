// A URL of a kernel, for whoever should reach it: to copy, as a picture for a camera, and as a link that opens a kernel elsewhere.

import { encode } from 'uqr';
import { html, svg, write } from './dom.js';
import { invitationLink, isOfThisMachine } from './address.js';

/**
 * @param {HTMLElement} container
 * @param {string} name of the kernel
 * @param {string} url
 * @param {string[]} relays
 */
export function showInvitation(container, name, url, relays) {
  const link = invitationLink(relays, url);
  const isNear = isOfThisMachine(link) || relays.every(isOfThisMachine);
  container.replaceChildren(
    copyable('ocap-url', `OCAP URL of ${name}’s greeter`, url),
    copyable('invitation-link', 'Link that opens a kernel which redeems it', link),
    html('p', { class: 'quiet' }, html('a', { href: link, target: '_blank', rel: 'noopener' }, 'Open it in a new tab'),
      isNear
        ? '. Page or relay have an address of this machine, so the link works here only. For another machine start the demo with '
        : '. It works on any machine that reaches this page and the relay.',
      ...(isNear ? [html('code', {}, 'cargo xtask demo --open --host <this machine’s IP>'), '.'] : [])),
    html('details', { class: 'fold' }, html('summary', {}, 'The link as a QR code'), qrCode(link)),
    html('p', { class: 'quiet' }, 'Whoever has the URL can send to this kernel’s greeter: give it only to those who should.'),
  );
  container.hidden = false;
}

/**
 * @param {string} id
 * @param {string} label
 * @param {string} text
 */
function copyable(id, label, text) {
  const input = html('input', { id, readonly: true, value: text, spellcheck: 'false' });
  const button = html('button', { type: 'button' }, 'Copy');
  const said = html('span', { class: 'said', role: 'status' });
  button.addEventListener('click', async () => {
    input.select();
    try {
      await navigator.clipboard.writeText(text);
      write(said, 'copied');
    } catch {
      // Without https there is no clipboard; the text is selected.
      write(said, 'press Ctrl+C to copy it');
    }
  });
  button.setAttribute('aria-label', `Copy: ${label}`);
  return html('div', { class: 'copyable' }, html('label', { for: id }, label), html('div', { class: 'row' }, input, button), said);
}

/** @param {string} text */
function qrCode(text) {
  const { data, size } = encode(text, { ecc: 'L', border: 3 });
  const d = data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1Z`] : []))).join('');
  return svg('svg', { class: 'qr', viewBox: `0 0 ${size} ${size}`, role: 'img', 'aria-label': 'QR code of the link' },
    svg('rect', { class: 'light', width: size, height: size }), svg('path', { class: 'dark', d }));
}
