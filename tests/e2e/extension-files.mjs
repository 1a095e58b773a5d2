// What the stores of browsers look at in the built extensions, and that docs/extension.md shows the code that is tested.

import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { equal } from '../../www/story/tally.mjs';

const TREE = fileURLToPath(new URL('../..', import.meta.url));
const SOURCE = join(TREE, 'www/extension');
const GUIDE = join(TREE, 'docs/extension.md');
/** Stores refuse larger files. */
const FILE_LIMIT_BYTES = 4 << 20;

const PERMISSIONS = {
  extension: ['alarms', 'offscreen', 'storage', 'unlimitedStorage'],
  'extension-firefox': ['alarms', 'storage', 'unlimitedStorage'],
};

/** Code made of text. The glue of wasm-bindgen has one, for engines without any global object, which none that has extensions is. */
const CODE_FROM_TEXT = /\beval\(|\bFunction\((?!\$\{)/g;
const GLUE = /__wbg_new_no_args_\w+:function\(\w,\w\)\{return (?:new )?Function\(/g;
/** Loads of code from elsewhere. */
const REMOTE = /(?:import|importScripts|fetch|Worker|src=|href=)\s*\(?\s*["'`](?:https?:)?\/\//g;
/** What a service worker cannot do, or must not rely on. */
const NOT_IN_SERVICE_WORKER = /\bimport\(|new (?:Shared)?Worker\(|\b(?:window|document)\.|^await\b/gm;

/** @param {keyof typeof PERMISSIONS} extension */
async function checkBundle(extension) {
  const folder = join(process.env.OCAP_WWW_DIST ?? '', extension);
  const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'));
  equal([...manifest.permissions].sort(), PERMISSIONS[extension], `permissions of ${extension}`);
  equal([manifest.host_permissions, manifest.content_scripts], [undefined, undefined], `what ${extension} does to pages`);
  equal(/script-src 'self' 'wasm-unsafe-eval'(?:;|$)/.test(manifest.content_security_policy.extension_pages), true, 'its policy');
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  for (const { parentPath, name } of files) {
    const file = join(parentPath, name);
    const { size } = await stat(file);
    if (size > FILE_LIMIT_BYTES) {
      throw new Error(`${file} has ${size} bytes`);
    }
    if (/\.(?:js|html|css)$/.test(name)) {
      const text = await readFile(file, 'utf8');
      equal(text.replaceAll(GLUE, '').match(CODE_FROM_TEXT), null, `code from text in ${file}`);
      equal(text.match(REMOTE), null, `remote code in ${file}`);
      if (name === 'service-worker.js') {
        equal(text.match(NOT_IN_SERVICE_WORKER), null, `what cannot be in ${file}`);
      }
    }
  }
}

/** Each block of code follows a line that names its file, and is in it as it stands. */
async function checkGuide() {
  const guide = await readFile(GUIDE, 'utf8');
  const blocks = [...guide.matchAll(/`([\w.-]+)`[^`\n]*:\n\n```js(?:on)?\n([\s\S]*?)```/g)];
  equal(blocks.length, guide.split('```js').length - 1, 'blocks of code that name their file');
  equal(blocks.length > 0, true, 'whether there is any');
  for (const [, file, code] of blocks) {
    const source = await readFile(join(SOURCE, file), 'utf8');
    if (!source.includes(code)) {
      throw new Error(`docs/extension.md shows what is not in ${file}:\n${code}`);
    }
  }
}

export async function theFilesOfTheExtensions() {
  await checkBundle('extension');
  await checkBundle('extension-firefox');
  await checkGuide();
}
