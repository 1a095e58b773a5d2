// Puts what the scripts outside call where they find it.

import { connections } from './connections.mjs';
import { KernelPage } from './kernel.mjs';
import { Ours, SEED } from './ours.mjs';
import { Theirs } from './theirs.mjs';
import * as traffic from './traffic.mjs';

globalThis.network = { connections, KernelPage, Ours, SEED, Theirs, traffic };
