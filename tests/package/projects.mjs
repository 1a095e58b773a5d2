// Fresh projects, each as a user would have it: its own dependencies, the packed package, and the README's application.

import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { application } from './examples.mjs';
import { run, WORK } from './pack.mjs';

const NPM_FLAGS = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];

/**
 * Makes the folder of a project from its template beside this file, with its dependencies but without ours.
 * @param {string} name
 */
export async function create(name) {
  const folder = join(WORK, name);
  await cp(new URL(name, import.meta.url), folder, { recursive: true });
  if ('devDependencies' in JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))) {
    await run('npm', ['ci', ...NPM_FLAGS], { cwd: folder });
  }
  return folder;
}

/**
 * @param {string} folder
 * @param {string} tarball
 */
export async function install(folder, tarball) {
  await run('npm', ['install', '--no-save', '--no-package-lock', ...NPM_FLAGS, tarball], { cwd: folder });
}

/**
 * Writes the README's application into a project and builds it.
 * @param {string} name
 * @param {string} tarball
 * @param {string} relay
 */
export async function build(name, tarball, relay) {
  const folder = await create(name);
  await install(folder, tarball);
  // What the README says of pages without a bundler.
  const byPath = (/** @type {string} */ code) => code.replace(/'ocap-remotes\/(\w+)'/g, "'./node_modules/ocap-remotes/$1/$1.js'");
  const files = await application(relay, name === 'plain' ? byPath : undefined);
  for (const [file, code] of Object.entries(files)) {
    await writeFile(join(folder, file), code);
  }
  if (name === 'vite' || name === 'webpack') {
    await run('npm', ['run', 'build'], { cwd: folder });
  }
  return folder;
}

/**
 * Writes files into a new folder that has the package.
 * @param {string} name
 * @param {string} tarball
 * @param {Record<string, string>} files
 */
export async function project(name, tarball, files) {
  const folder = join(WORK, name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }));
  for (const [file, text] of Object.entries(files)) {
    await writeFile(join(folder, file), text);
  }
  await install(folder, tarball);
  return folder;
}
