import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));
const built = here('../pkg');

export default defineConfig({
  // Relative addresses, so that the built page can be served from any folder.
  base: './',
  // The package as `cargo xtask package` makes it, under the names that its users import.
  resolve: { alias: [{ find: /^ocap-remotes\/(kernel|network)$/, replacement: `${built}/$1/$1.js` }] },
  server: { fs: { allow: ['.', built] } },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    // The lab, the page of one kernel, and the frame in which a kernel of the lab has its network.
    rollupOptions: { input: ['index.html', 'kernel.html', 'network.html'].map(here) },
  },
});
