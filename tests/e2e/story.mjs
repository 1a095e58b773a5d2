// The story of `cargo xtask demo`, as a program that is run and judged by its exit code and its last line.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { check } from '../../www/story/story.mjs';

const STORY = fileURLToPath(new URL('../../www/story/run.mjs', import.meta.url));

export async function theStoryOfTheDemo() {
  const environment = { ...process.env };
  delete environment.OCAP_OPEN;
  const child = spawn(process.execPath, [STORY], { stdio: ['ignore', 'pipe', 'inherit'], env: environment });
  const stop = () => child.kill('SIGINT');
  process.on('SIGINT', stop).on('SIGTERM', stop);
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  process.off('SIGINT', stop).off('SIGTERM', stop);
  if (code !== 0) {
    throw new Error(`the story ended with ${code}`);
  }
  check(JSON.parse(output.trimEnd().split('\n').at(-1) ?? ''));
}
