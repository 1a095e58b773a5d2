// Conformance: our kernel, a process, against a peer that is js-libp2p and JSON, direct, through a js-libp2p relay, and through ours. The last
// line counts the stories: `N passed, N failed`. Arguments, if any, choose stories by a part of their names.

import './support/polyfill.mjs';
import { addressOf, startRelay } from './support/libp2p.mjs';
import { OurRelay } from './support/our-relay.mjs';
import { within } from './support/wait.mjs';
import { World, direct, relayed } from './support/world.mjs';
import { channels } from './stories/channels.mjs';
import { circuits } from './stories/circuits.mjs';
import { commands } from './stories/commands.mjs';
import { handshakes } from './stories/handshakes.mjs';
import { restarts } from './stories/restarts.mjs';
import { sizes } from './stories/sizes.mjs';
import { identities } from '../vectors/identities.mjs';

const STORIES = { handshakes, commands, channels, sizes, restarts };
/** Stories wait more than they work. */
const AT_ONCE = 4;
/** How long a story may take, in milliseconds; that of a circuit of a minute takes nearly as long. */
const STORY_LIMIT = 120_000;

const ours = await OurRelay.start();
const relay = await startRelay();
const narrow = await startRelay({ defaultDurationLimit: 60_000, defaultDataLimit: 1n << 30n });
const shallow = await startRelay({ defaultDurationLimit: 3_600_000, defaultDataLimit: 64n << 10n });
const parts = process.argv.slice(2);
/** Stories by their name, in the order in which they begin: what waits longest first. */
const due = [
  ['for a minute', narrow, circuits.ofTime, true],
  ['for 64 KiB', shallow, circuits.ofBytes, true],
  ['none for the incumbent', narrow, circuits.ofTheIncumbent, false],
].map(([name, limited, story, onLimited]) => ({
  name: `circuits: ${name}`,
  place: relayed(addressOf(limited), onLimited),
  story,
}));
const told = (way, place, chapters) =>
  Object.entries(chapters).flatMap(([chapter, stories]) =>
    Object.entries(stories).map(([title, story]) => ({ name: `${way}: ${chapter}: ${title}`, place, story })),
  );
due.push(...told('direct', direct, STORIES), ...told('relayed', relayed(addressOf(relay)), STORIES));
due.push(...told('ocap-relay', relayed(ours.address), { handshakes, commands }));
due.push(...Object.entries(identities).map(([title, story]) => ({ name: `identities: ${title}`, story })));
const chosen = due.filter(({ name }) => parts.length === 0 || parts.some((part) => name.includes(part)));
let passed = 0;
let failed = 0;

async function tell({ name, place, story }) {
  const startedAt = Date.now();
  const took = () => `${((Date.now() - startedAt) / 1_000).toFixed(1)} s`;
  try {
    const world = place && (await World.make(place));
    await within(story(world), 'the end of the story', STORY_LIMIT).finally(() => world?.end());
    passed += 1;
    console.log(`ok      ${name} (${took()})`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name} (${took()}): ${error instanceof Error ? error.stack : error}`);
  }
}

async function tellOneAfterTheOther() {
  for (let next = chosen.shift(); next !== undefined; next = chosen.shift()) {
    await tell(next);
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, tellOneAfterTheOther));
await Promise.all([relay, narrow, shallow, ours].map((node) => node.stop()));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
