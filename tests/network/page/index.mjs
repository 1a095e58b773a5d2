// Puts what the scripts outside call where they find it.

import { KernelPage } from './kernel.mjs';

globalThis.network = { KernelPage };
