// Fresh projects, each as a user would have it: its own dependencies, the packed package, and the README's application.

import { spawn } from 'node:child_process';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { within } from '../../www/story/within.mjs';
import { application } from './examples.mjs';
import { run, WORK } from './pack.mjs';

/** Of the start of a development server. */
const START_LIMIT_MS = 30_000;
/** What a class of an error may cost a program that uses no more of the package, in bytes. */
const ERRORS_LIMIT = 1_000;
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

/**
 * Starts Vite's development server in a project that has it.
 * @param {string} folder
 */
export async function develop(folder) {
  const flags = ['--host', '127.0.0.1', '--port', '5300'];
  const env = { ...process.env, NO_COLOR: '1' };
  const server = spawn('node', ['node_modules/vite/bin/vite.js', ...flags], { cwd: folder, env });
  let printed = '';
  const started = new Promise((resolve, reject) => {
    const read = (/** @type {Buffer} */ data) => {
      printed += data;
      const [address] = /http:\S+/.exec(printed) ?? [];
      address && resolve(address);
    };
    server.stdout.on('data', read);
    server.stderr.on('data', read);
    server.once('exit', () => reject(new Error(`Vite's server ended: ${printed}`)));
  });
  const stop = () => server.kill();
  try {
    return { address: String(await within(started, "Vite's server", START_LIMIT_MS)), stop };
  } catch (error) {
    stop();
    throw error;
  }
}

/**
 * Builds a program that imports everything and uses one error, and sees that nothing else is left in it.
 * @param {string} folder a project with webpack
 */
export async function leavesOutWhatIsUnused(folder) {
  const program = `
    import init, { Kernel } from 'ocap-remotes/kernel';
    import initRemotes from 'ocap-remotes/remotes/inline';
    import { Network } from 'ocap-remotes/network';
    import { StoreInUseError } from 'ocap-remotes';
    console.log(StoreInUseError.name);`;
  await writeFile(join(folder, 'unused.js'), program);
  const flags = ['--mode', 'production', '--entry', './unused.js', '--output-path', 'unused'];
  await run('node', ['node_modules/webpack/bin/webpack.js', ...flags], { cwd: folder });
  const files = await readdir(join(folder, 'unused'));
  const { length } = await readFile(join(folder, 'unused/main.js'));
  if (files.length > 1 || length > ERRORS_LIMIT) {
    throw new Error(`${files.join(', ')} are left, and ${length} bytes of JavaScript`);
  }
}
