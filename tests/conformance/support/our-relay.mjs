// Our relay, a process of its own, as it is without any option.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const PROGRAM = process.env.OCAP_CONFORMANCE_RELAY ?? 'target/debug/ocap-relay';

export class OurRelay {
  static async start() {
    const relay = new OurRelay();
    relay.process = spawn(PROGRAM, ['--exit-with-stdin'], { stdio: ['pipe', 'pipe', 'ignore'] });
    const lines = createInterface({ input: relay.process.stdout });
    const [line] = await Promise.race([once(lines, 'line'), once(relay.process, 'error').then(([error]) => Promise.reject(error))]);
    relay.address = JSON.parse(line).addresses.find((address) => address.includes('/ws/'));
    return relay;
  }

  async stop() {
    const exited = once(this.process, 'exit');
    this.process.stdin.end();
    await exited;
  }
}
