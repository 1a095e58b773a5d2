// Both extensions: www/dist/extension for Chromium, www/dist/extension-firefox for Firefox. They differ by manifest and host.
// `BROWSER=firefox vite build` makes the second.

import { copyFile, cp } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import page from '../vite.config.js';

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));

/** @type {Record<string, { manifest: string, out: string, input: string[] }>} */
const BROWSERS = {
  chromium: { manifest: 'manifest.json', out: 'extension', input: ['popup.html', 'offscreen.html', 'service-worker.js'] },
  firefox: { manifest: 'manifest.firefox.json', out: 'extension-firefox', input: ['popup.html', 'event-page.html'] },
};

const { manifest, out, input } = BROWSERS[process.env.BROWSER ?? 'chromium'];
const outDir = here(`../dist/${out}`);

export default defineConfig({
  ...page,
  root: here('.'),
  build: {
    ...page.build,
    outDir,
    emptyOutDir: true,
    rollupOptions: {
      input: input.map(here),
      // The manifest names the service worker.
      output: { entryFileNames: '[name].js', chunkFileNames: '[name].js', assetFileNames: '[name][extname]' },
    },
  },
  plugins: [
    {
      name: 'manifest',
      async writeBundle() {
        await copyFile(here(manifest), `${outDir}/manifest.json`);
        await cp(here('icons'), `${outDir}/icons`, { recursive: true });
      },
    },
  ],
});
