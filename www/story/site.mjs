// The web server for built pages.

import { preview } from 'vite';

/**
 * Serves a built page on a free port. It ends when it is closed, not at a signal as Vite would have it: that would end the
 * process before everything else is cleared up.
 *
 * @param {string} outDir
 * @param {{ host?: string, headers?: Record<string, string> }} [options]
 */
export async function serveBuilt(outDir, { host = '127.0.0.1', headers = {} } = {}) {
  const before = process.listeners('SIGTERM');
  const site = await preview({ configFile: false, logLevel: 'error', build: { outDir }, preview: { host, port: 0, headers } });
  const theirs = process.listeners('SIGTERM').filter((listener) => !before.includes(listener));
  theirs.forEach((listener) => process.off('SIGTERM', listener));
  const { local = [], network = [] } = site.resolvedUrls ?? {};
  return { url: local[0] ?? network[0] ?? '', close: () => site.close() };
}
