// The JavaScript in README.md and docs: what is an application is built and driven, and the rest is type-checked.

import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './pack.mjs';

/** A relay's address as the documents write it. */
export const RELAY = '/dns4/relay.example/tcp/443/wss/p2p/12D3KooW…';

/**
 * Every block of JavaScript. The first line of one that is a file of an application names it: `// main.js`.
 * @returns {Promise<{ document: string, line: number, file?: string, code: string }[]>}
 */
export async function examples() {
  const docs = (await readdir(join(ROOT, 'docs'))).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`);
  const found = [];
  for (const document of ['README.md', ...docs.sort()]) {
    const text = await readFile(join(ROOT, document), 'utf8');
    for (const match of text.matchAll(/^```(?:js|javascript)\n(.*?)^```$/gms)) {
      const code = match[1];
      const file = /^\/\/ ([\w-]+\.m?js)\b/.exec(code)?.[1];
      found.push({ document, line: text.slice(0, match.index).split('\n').length, file, code });
    }
  }
  return found;
}

/**
 * The files of the README's application, which talk through `relay`.
 * @param {string} relay
 * @param {(code: string) => string} [change]
 * @returns {Promise<Record<string, string>>}
 */
export async function application(relay, change = (code) => code) {
  const files = (await examples()).filter(({ document, file }) => document === 'README.md' && file);
  if (!files.some(({ code }) => code.includes(RELAY))) {
    throw new Error(`no file of the README's application has the relay ${RELAY}`);
  }
  return Object.fromEntries(files.map(({ file, code }) => [file, change(code.replaceAll(RELAY, relay))]));
}
