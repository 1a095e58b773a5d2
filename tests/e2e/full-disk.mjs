// An origin whose quota is used up: the kernel says so by name instead of starting on half a store, and starts when there is space.

import { onStage } from '../../www/story/stage.mjs';
import { withProfile } from './browser-process.mjs';

/** Less than an empty store takes. */
const QUOTA_BYTES = 20_000;

export const aFullDisk = () =>
  onStage(async (stage) => {
    const context = await withProfile(stage);
    const cdp = await context.newCDPSession(await context.newPage());
    const { origin } = new URL(stage.address('full', 'worker'));
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: QUOTA_BYTES });
    const refused = await stage.openPage(context, 'full', 'worker', { store: 'full' });
    await stage.waitFor('the kernel to refuse to start', 30, async () => (await refused.call('state')).status === 'error');
    const { error } = await refused.call('state');
    if (!error.startsWith('StoreFullError')) {
      throw new Error(`the page says ${error}`);
    }
    stage.dismiss(refused);
    await refused.page.close();

    await cdp.send('Storage.overrideQuotaForOrigin', { origin });
    await stage.untilRunning(await stage.openPage(context, 'full', 'worker', { store: 'full' }));
    stage.checkHealth();
  });
