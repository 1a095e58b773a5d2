import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: at('.'),
  base: './',
  resolve: { alias: [{ find: 'ocap-remotes/network', replacement: at('../../../pkg/network/network.js') }] },
  build: { target: 'es2022', emptyOutDir: true, modulePreload: { polyfill: false } },
});
