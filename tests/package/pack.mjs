// The tarball that npm would publish, and whether it holds what it should.

import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { equal } from '../../www/story/tally.mjs';

const start = promisify(execFile);
/** Of a program that is started here. */
const PROGRAM_LIMIT_MS = 120_000;

/**
 * Runs a program, and fails with its name if that takes too long.
 * @param {string} program
 * @param {string[]} arguments_
 * @param {{ cwd?: string, timeout?: number }} [options]
 */
export async function run(program, arguments_, { cwd, timeout = PROGRAM_LIMIT_MS } = {}) {
  try {
    return await start(program, arguments_, { cwd, timeout, killSignal: 'SIGKILL' });
  } catch (error) {
    const { killed, stdout } = /** @type {{ killed?: boolean, stdout?: string }} */ (error);
    const late = `${program} ${arguments_.join(' ')} took over ${timeout / 1_000} s`;
    throw killed ? Object.assign(new Error(late), { stdout }) : error;
  }
}

export const ROOT = new URL('../../', import.meta.url).pathname;
/** Where projects are made and built. */
export const WORK = join(ROOT, 'target/package');
const CONTENTS = new URL('contents.txt', import.meta.url);
/** Extension stores refuse larger files. */
const LARGEST_FILE = 4 * 1024 * 1024;

/** Packs `pkg` and returns the tarball's path. */
export async function pack() {
  await rm(WORK, { recursive: true, force: true });
  await mkdir(WORK, { recursive: true });
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', WORK], { cwd: join(ROOT, 'pkg') });
  const [packed] = Object.values(JSON.parse(stdout));
  const tarball = join(WORK, packed.filename);
  return { tarball, files: /** @type {{ path: string, size: number }[]} */ (packed.files), size: packed.size };
}

/** @param {{ path: string, size: number }[]} files */
export async function checkContents(files) {
  const paths = files.map(({ path }) => path).sort();
  if (process.env.OCAP_ACCEPT_CONTENTS) {
    await writeFile(CONTENTS, `${paths.join('\n')}\n`);
  }
  equal(paths, (await readFile(CONTENTS, 'utf8')).trimEnd().split('\n'), 'what is in the package');
  for (const { path, size } of files) {
    if (size > LARGEST_FILE) {
      throw new Error(`${path} has ${size} bytes, more than the ${LARGEST_FILE} that extension stores take`);
    }
  }
}
