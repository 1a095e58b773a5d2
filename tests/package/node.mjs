// Two kernels in Node, each with a network of its own, as docs/package.md shows one.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { examples, RELAY } from './examples.mjs';
import { run } from './pack.mjs';
import { project } from './projects.mjs';

const LIMIT_MS = 60_000;

/**
 * @param {string} tarball
 * @param {string} relay
 */
export async function inNode(tarball, relay) {
  const example = (await examples()).find(({ file }) => file === 'node.mjs');
  if (!example) {
    throw new Error('the documents have no node.mjs');
  }
  const folder = await project('node', tarball, {});
  await writeFile(join(folder, 'node.mjs'), example.code.replaceAll(RELAY, relay));
  // Node 22 has WebSocket without asking.
  const flags = typeof WebSocket === 'undefined' ? ['--experimental-websocket'] : [];
  const { stdout } = await run('node', [...flags, 'node.mjs'], { cwd: folder, timeout: LIMIT_MS });
  if (!stdout.includes('answered #"hello"')) {
    throw Object.assign(new Error('no answer came'), { stdout });
  }
}
