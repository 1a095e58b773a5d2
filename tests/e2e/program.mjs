// Programs of ours that are run as anybody would run them, and judged by their exit code.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

/**
 * Runs a script of ours in Node, and gives the last line of its output. Whoever interrupts us interrupts it.
 *
 * @param {string} script its path
 * @param {string[]} [parameters]
 */
export async function lastLineOf(script, parameters = []) {
  const environment = { ...process.env };
  delete environment.OCAP_OPEN;
  const child = spawn(process.execPath, [script, ...parameters], { stdio: ['ignore', 'pipe', 'inherit'], env: environment });
  const stop = () => child.kill('SIGINT');
  process.on('SIGINT', stop).on('SIGTERM', stop);
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  process.off('SIGINT', stop).off('SIGTERM', stop);
  if (code !== 0) {
    throw new Error(`${script} ended with ${code}`);
  }
  return output.trimEnd().split('\n').at(-1) ?? '';
}
