// Reads along on the bridge between a kernel and its network: every frame that was written for the kernel or brought to it, and
// each handshake.

/**
 * What a frame is: a message, the outcome of promises, something about URLs, about references, or an acknowledgement by itself.
 * @typedef {'message' | 'notify' | 'url' | 'references' | 'ack'} FrameKind
 *
 * What was seen. `at` is in milliseconds since 1970, by a clock that no experiment sets.
 * @typedef {{ at: number, peer: string } & (
 *   { type: 'out' | 'in', frame: FrameKind, seq: number | undefined, ack: number | undefined }
 *   | { type: 'refused', frame: FrameKind, seq: number | undefined, reason: string }
 *   | { type: 'handshake', incarnation: string, restarted: boolean }
 *   | { type: 'givenUp' }
 * )} Observation
 *
 * @typedef {{ id?: string, method?: string, params?: any, result?: unknown, error?: { message?: string } }} Rpc
 */

/** Numbers and method stand at the beginning of a frame, which may be long. */
const HEAD = 200;
/** Calls whose answers are waited for; those of a bridge that was cut off never come. */
const WAITING = 10_000;

/**
 * @param {string} message
 * @returns {{ frame: FrameKind, seq: number | undefined, ack: number | undefined }}
 */
export function readFrame(message) {
  const head = message.slice(0, HEAD);
  const number = (/** @type {RegExp} */ pattern) => {
    const found = pattern.exec(head);
    return found ? Number(found[1]) : undefined;
  };
  const method = /"method":"(\w+)"(?:,"params":\["(\w+)")?/.exec(head);
  const [seq, ack] = [number(/^\{"seq":(\d+)/), number(/^\{(?:"seq":\d+,)?"ack":(\d+)/)];
  if (!method) {
    return { frame: 'ack', seq, ack };
  }
  const frame = method[1] !== 'deliver' ? 'url' : method[2] === 'message' || method[2] === 'notify' ? method[2] : 'references';
  return { frame, seq, ack };
}

/**
 * Who may change what passes, for experiments; each is given a peer and a frame.
 * @typedef {object} Meddler
 * @property {(frame: FrameKind) => boolean} swallows whether the kernel's next frame vanishes, as if it had been written
 * @property {(peer: string, message: string) => string} outgoing
 * @property {(peer: string, message: string) => string} incoming
 */

/**
 * A port that does what `port` does, and tells what passes.
 * @param {MessagePort} port the network's end
 * @param {(observation: Observation) => void} observe
 * @param {Meddler} [meddler]
 * @returns {Pick<MessagePort, 'postMessage' | 'addEventListener' | 'removeEventListener'>}
 */
export function tapped(port, observe, meddler) {
  /** @type {Map<string, (reply: Rpc) => void>} By the ids of the kernel's calls and of the network's, which differ. */
  const waiting = new Map();
  const now = () => performance.timeOrigin + performance.now();

  const await_ = (/** @type {string | undefined} */ id, /** @type {(reply: Rpc) => void} */ then) => {
    if (id !== undefined && waiting.size < WAITING) {
      waiting.set(id, then);
    }
  };
  const read = (/** @type {Rpc} */ { id, method, params, result, error }) => {
    const at = now();
    switch (method) {
      case 'sendRemoteMessage': {
        const { frame, seq, ack } = readFrame(params.message);
        await_(id, ({ error: refusal }) => {
          observe(refusal
            ? { at: now(), peer: params.to, type: 'refused', frame, seq, reason: String(refusal.message) }
            : { at: now(), peer: params.to, type: 'out', frame, seq, ack });
        });
        break;
      }
      case 'remoteDeliver':
        observe({ at, peer: params.from, type: 'in', ...readFrame(params.message) });
        break;
      case 'remoteIncarnationChange':
        await_(id, (reply) => {
          // Whatever is no clear answer counts as a restart.
          const restarted = reply.result !== false;
          observe({ at: now(), peer: params.peerId, type: 'handshake', incarnation: params.observedIncarnation, restarted });
        });
        break;
      case 'bridgeExtensions':
        // Of the ways to post a message that the ends offer each other only objects can be read and changed here.
        params.packets = false;
        break;
      case 'remoteGiveUp':
        observe({ at, peer: params.peerId, type: 'givenUp' });
        break;
      case undefined:
        if (id !== undefined) {
          const settle = waiting.get(id);
          waiting.delete(id);
          settle?.({ result, error });
        }
    }
  };
  const readAll = (/** @type {unknown} */ data) => {
    for (const message of Array.isArray(data) ? data : [data]) {
      try {
        read(message);
      } catch (error) {
        // What cannot be read is the network's to judge; the picture merely lacks it.
        console.debug('a message on the bridge could not be read along', error);
      }
    }
  };
  /** Whether a message of the kernel passes; one that does not is answered here. @param {Rpc} message */
  const passes = ({ id, method, params }) => {
    if (method !== 'sendRemoteMessage' || !meddler) {
      return true;
    }
    if (typeof params.message === 'string') {
      params.message = meddler.outgoing(params.to, params.message);
    }
    if (!meddler.swallows(readFrame(params.message).frame)) {
      return true;
    }
    const written = { jsonrpc: '2.0', id, result: null };
    readAll(written);
    port.postMessage(written);
    return false;
  };
  // Heard before the network's own listener, which is added later.
  port.addEventListener('message', (event) => {
    const { data } = event;
    readAll(data);
    if (Array.isArray(data)) {
      data.splice(0, data.length, ...data.filter(passes));
    } else if (!passes(data)) {
      event.stopImmediatePropagation();
    }
  });
  port.start();
  return {
    postMessage: (/** @type {unknown} */ message, /** @type {any} */ transfer) => {
      for (const { method, params } of /** @type {Rpc[]} */ (Array.isArray(message) ? message : [message])) {
        if (meddler && method === 'remoteDeliver' && typeof params.message === 'string') {
          params.message = meddler.incoming(params.from, params.message);
        }
      }
      readAll(message);
      port.postMessage(message, transfer);
    },
    addEventListener: port.addEventListener.bind(port),
    removeEventListener: port.removeEventListener.bind(port),
  };
}
