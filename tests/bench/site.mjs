// Folders as a site on this machine, which counts as a secure context.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';

const TYPES = { '.mjs': 'text/javascript', '.js': 'text/javascript', '.wasm': 'application/wasm' };

/**
 * Serves each folder under its name, and an empty page at every other address.
 * @param {Record<string, string>} folders
 */
export async function serveFolders(folders) {
  const server = createServer(async (request, response) => {
    const [, root, ...rest] = normalize(new URL(request.url, 'http://localhost').pathname).split('/');
    try {
      const body = folders[root] ? await readFile(join(folders[root], ...rest)) : '<!doctype html><title>bench</title>';
      response.writeHead(200, { 'content-type': TYPES[extname(request.url)] ?? 'text/html' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}
