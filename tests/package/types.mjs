// The types of the package, judged by compilers and linters.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT, run, WORK } from './pack.mjs';
import { create, project } from './projects.mjs';

/** Resolvers that do not know `exports`, and CommonJS, which the package is not for; and files that are no modules. */
const HALVES = ['kernel', 'kernel-without-store', 'remotes', 'network'];
const WASM = HALVES.flatMap((half) => [`${half}.wasm`, `${half}.names.wasm`]);
const IGNORED = ['--profile', 'esm-only', '--exclude-entrypoints', 'package.json', ...WASM];

const BUNDLER = { module: 'esnext', moduleResolution: 'bundler' };

/** @type {Promise<string> | undefined} */
let tools;
const bin = async (/** @type {string} */ name) => join(await (tools ??= create('tools')), 'node_modules/.bin', name);
const template = (/** @type {string} */ name) => readFile(new URL(`types/${name}`, import.meta.url), 'utf8');

/** @param {string} tarball */
export async function strictTypes(tarball) {
  const config = JSON.parse(await template('tsconfig.json'));
  const folder = await project('types', tarball, {
    'use.ts': await template('use.ts'),
    'tsconfig.json': JSON.stringify(config),
    'bundler.json': JSON.stringify({ ...config, compilerOptions: { ...config.compilerOptions, ...BUNDLER } }),
  });
  const compilers = [join(ROOT, 'node_modules/.bin/tsc'), await bin('tsc')];
  const configs = ['tsconfig.json', 'bundler.json'];
  const check = (/** @type {string} */ tsc) => configs.map((config) => run(tsc, ['--project', config], { cwd: folder }));
  await Promise.all(compilers.flatMap(check));
}

/**
 * Each entry by itself: what one brings along must not hide what another lacks.
 * @param {string} tarball
 */
export async function eachEntryAlone(tarball) {
  const { exports } = JSON.parse(await readFile(join(ROOT, 'pkg.json'), 'utf8'));
  const entries = Object.keys(exports).filter((entry) => exports[entry].types);
  const file = (/** @type {string} */ entry) => `${entry.replaceAll(/\W/g, '_')}.ts`;
  const source = (/** @type {string} */ entry) =>
    `import * as all from 'ocap-remotes${entry.slice(1)}';\nexport const names: string[] = Object.keys(all);\n`;
  const folder = await project('types-alone', tarball, Object.fromEntries(entries.map((entry) => [file(entry), source(entry)])));
  const options = ['--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022,dom', '--module', 'nodenext'];
  for (const tsc of [join(ROOT, 'node_modules/.bin/tsc'), await bin('tsc')]) {
    await Promise.all(entries.map((entry) => run(tsc, [...options, file(entry)], { cwd: folder })));
  }
}

/** @param {string} tarball */
export async function theTypesOfThePackage(tarball) {
  await run(await bin('attw'), [tarball, '--no-color', '--no-emoji', ...IGNORED]);
  const { stdout } = await run(await bin('publint'), ['run', tarball, '--strict']).catch((error) => {
    throw Object.assign(error, { stdout: `${error.stdout}${error.stderr}` });
  });
  if (/warning/i.test(stdout)) {
    throw Object.assign(new Error('publint warns'), { stdout });
  }
}

/** Makes the API reference, which nobody keeps: what matters is that every link and name in it is good. */
export async function reference() {
  const folder = join(WORK, 'reference');
  await mkdir(folder, { recursive: true });
  const entries = ['index.d.ts', ...HALVES.map((half) => `${half}/${half}.d.ts`)];
  await writeFile(
    join(folder, 'typedoc.json'),
    JSON.stringify({
      entryPoints: entries.map((entry) => join(ROOT, 'pkg', entry)),
      tsconfig: join(folder, 'tsconfig.json'),
      out: join(folder, 'html'),
      readme: join(ROOT, 'README.md'),
      treatWarningsAsErrors: true,
      excludePrivate: true,
      // They would need a remote of git's, which a copy of the tree may not have.
      disableSources: true,
    }),
  );
  const lib = ['es2022', 'esnext.disposable', 'dom'];
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: { strict: true, module: 'nodenext', target: 'es2022', lib, types: [] },
      files: entries.map((entry) => join(ROOT, 'pkg', entry)),
    }),
  );
  await run(await bin('typedoc'), ['--options', join(folder, 'typedoc.json')], { cwd: folder }).catch((error) => {
    throw Object.assign(error, { stdout: `${error.stdout}${error.stderr}` });
  });
  console.log(`        ${join('target/package/reference/html', 'index.html')}`);
}
