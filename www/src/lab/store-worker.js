// Deletes one store and says so.

import init, { deleteKernelStore } from 'ocap-remotes/kernel';

self.addEventListener('message', async ({ data: name }) => {
  try {
    await init();
    await deleteKernelStore(name);
    self.postMessage('deleted');
  } catch (error) {
    self.postMessage(String(error));
  }
}, { once: true });
