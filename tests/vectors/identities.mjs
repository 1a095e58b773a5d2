// The peer ids that js-libp2p derives, as `identities.json` has them for ours to be checked against. With `--write` the file is
// made anew from the seeds and mnemonics in it.

import '../conformance/support/polyfill.mjs';
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { mnemonicToSeed, validateMnemonic } from '@scure/bip39';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { peerIdOf } from '../conformance/support/libp2p.mjs';

const FILE = new URL('identities.json', import.meta.url);

async function derived({ about, seeds, mnemonics }) {
  const ofSeed = async ({ keySeed }) => ({ keySeed, peerId: await peerIdOf(Buffer.from(keySeed, 'hex')) });
  const ofMnemonic = async ({ mnemonic }) => {
    assert.ok(validateMnemonic(mnemonic, wordlist));
    const seed = Buffer.from((await mnemonicToSeed(mnemonic)).subarray(0, 32));
    return { mnemonic, ...(await ofSeed({ keySeed: seed.toString('hex') })) };
  };
  return { about, seeds: await Promise.all(seeds.map(ofSeed)), mnemonics: await Promise.all(mnemonics.map(ofMnemonic)) };
}

export const identities = {
  'js-libp2p derives the identities of the vectors': async () => {
    const vectors = JSON.parse(await readFile(FILE, 'utf8'));
    assert.equal(vectors.seeds.length, 10);
    assert.deepEqual(vectors, await derived(vectors));
  },
};

if (process.argv[1] === FILE.pathname.replace('.json', '.mjs') && process.argv[2] === '--write') {
  await writeFile(FILE, `${JSON.stringify(await derived(JSON.parse(await readFile(FILE, 'utf8'))), null, 2)}\n`);
}
