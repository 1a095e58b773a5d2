// The story of the demo, as a program that is run and judged by its exit code and its last line.

import { fileURLToPath } from 'node:url';
import { check } from '../../www/story/story.mjs';
import { lastLineOf } from './program.mjs';

export async function theStoryOfTheDemo() {
  check(JSON.parse(await lastLineOf(fileURLToPath(new URL('../../www/story/run.mjs', import.meta.url)))));
}
