// Node fetches no files.

import { readFile } from 'node:fs/promises';

/** @param {any} input of `init` */
export async function readIfFile(input) {
  const source = await input;
  const address = typeof source?.href === 'string' ? source.href : source;
  return typeof address === 'string' && address.startsWith('file:') ? readFile(new URL(address)) : source;
}
