// The scripted story of `cargo xtask demo`. A transcript goes to stderr; the last line on stdout is the outcome as JSON.
//
//   OCAP_RELAY_BIN    the relay
//   OCAP_WWW_DIST     the built page
//   CHROME_BIN        the browser, /usr/bin/chromium by default
//   OCAP_OPEN         any value: a browser with a window, which stays open with the relay until Ctrl-C
//   OCAP_HOST         the IP address at which page and relay are served, 127.0.0.1 by default
//   OCAP_LOG          what the pages log, warn by default; a failed run shows the last of it
//   OCAP_SCREENSHOTS  a folder for pictures of both pages at the end

import { platform } from 'node:process';
import { onStage } from './stage.mjs';
import { check, tellStory } from './story.mjs';
import { Interrupted } from './within.mjs';

const startedAt = Date.now();
/** @param {string} line */
function tell(line) {
  console.error(`[${((Date.now() - startedAt) / 1_000).toFixed(2).padStart(6)} s] ${line}`);
}

const open = Boolean(process.env.OCAP_OPEN);
const hasDisplay = platform !== 'linux' || Boolean(process.env.DISPLAY ?? process.env.WAYLAND_DISPLAY);

/** @param {import('./stage.mjs').Stage} stage */
async function run(stage) {
  const result = await tellStory(stage, tell);
  stage.checkHealth();
  await stage.takePictures('story');
  console.log(JSON.stringify(result));
  check(result);
  if (open) {
    const lab = stage.labAddress();
    if (hasDisplay) {
      const context = await stage.browser.newContext({ viewport: null });
      await (await context.newPage()).goto(lab);
    }
    tell(`${hasDisplay ? 'the pages stay open' : 'there is no display for the pages'}; until Ctrl-C you may open them yourself:`);
    console.error(`  try everything out:                ${lab}`);
    console.error(`  one kernel, network in the window: ${stage.address('C', 'window')}`);
    console.error(`  one kernel, network in a Worker:   ${stage.address('D', 'worker')}`);
    await new Promise(() => {});
  }
}

try {
  await onStage(run, { headless: !open || !hasDisplay, limitMs: open ? Infinity : undefined });
} catch (error) {
  const interrupted = error instanceof Interrupted;
  // Ctrl-C is how a person ends what they asked to be left open.
  process.exitCode = interrupted && open ? 0 : 1;
  tell(interrupted ? error.message : `FAILED: ${error instanceof Error ? error.message : error}`);
}
