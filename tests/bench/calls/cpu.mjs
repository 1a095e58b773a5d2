// What processes have spent of the processors' time. Finds them in /proc, hence on Linux only.

import { readdir, readFile } from 'node:fs/promises';
import { platform } from 'node:process';

/** /proc counts in these, on every Linux. */
const TICK_MS = 10;

/**
 * What each has spent so far, in milliseconds, by its process id; nothing where there is no /proc.
 * @param {number[]} groups whole groups of processes, as browsers are
 * @param {number[]} single processes
 */
export async function spentBy(groups, single) {
  /** @type {Map<number, { ms: number, isRenderer: boolean }>} */
  const spent = new Map();
  if (platform !== 'linux') {
    return spent;
  }
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger);
  await Promise.all(pids.map(async (pid) => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    // The name, in parentheses, may have spaces in it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [group, user, system] = [2, 11, 12].map((index) => Number(fields[index]));
    if (groups.includes(group) || single.includes(pid)) {
      const isRenderer = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes('--type=renderer');
      spent.set(pid, { ms: (user + system) * TICK_MS, isRenderer });
    }
  }));
  return spent;
}

/**
 * What was spent between two looks, in milliseconds: by all, and by the renderers among them. NaN where nobody knows.
 * @param {Awaited<ReturnType<typeof spentBy>>} before
 * @param {Awaited<ReturnType<typeof spentBy>>} after
 */
export function spentBetween(before, after) {
  if (after.size === 0) {
    return { all: Number.NaN, renderers: Number.NaN };
  }
  const sum = (wanted) => [...after].filter(([, { isRenderer }]) => wanted(isRenderer))
    .reduce((sum, [pid, { ms }]) => sum + ms - (before.get(pid)?.ms ?? 0), 0);
  return { all: sum(() => true), renderers: sum((isRenderer) => isRenderer) };
}
