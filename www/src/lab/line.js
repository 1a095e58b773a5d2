// The line of one kernel: its real sockets, with a hand on them. A cut closes them and refuses new ones, a silent line holds every
// byte back, a slow one lets few through, a forgotten one swallows everything. It stands in for the browser's `WebSocket` and
// `RTCPeerConnection` of the one context that the kernel's network lives in, so that the network's own code runs unchanged.

/**
 * @typedef {{ delayMs: number, bytesPerSecond: number }} Throttle
 * @typedef {object} LineState
 * @property {boolean} cut connections are closed, and new ones fail
 * @property {boolean} silent nothing passes, and new connections fail
 * @property {Throttle | undefined} throttle
 */

/** @typedef {WebSocket | RTCDataChannel} Socket */

/** How long a browser waits for the answer to a close, in milliseconds. */
const UNANSWERED_CLOSE_MS = 1_000;

/** What is held back for the line, in its order. */
class Gate {
  /** @type {{ pass: () => void, size: number, at: number }[]} */
  #held = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #freeAt = 0;
  #line;
  #onEmpty;
  heldBytes = 0;

  /**
   * @param {Line} line
   * @param {() => void} onEmpty
   */
  constructor(line, onEmpty) {
    this.#line = line;
    this.#onEmpty = onEmpty;
  }

  /** Whether what comes now may pass at once. */
  get isOpen() {
    const { silent, throttle } = this.#line.state;
    return !silent && !throttle && this.#held.length === 0;
  }

  /**
   * @param {number} size in bytes
   * @param {() => void} pass
   */
  push(size, pass) {
    const { throttle } = this.#line.state;
    let at = performance.now();
    if (throttle) {
      this.#freeAt = Math.max(this.#freeAt, at) + (size / throttle.bytesPerSecond) * 1_000;
      at = this.#freeAt + throttle.delayMs;
    }
    this.#held.push({ pass, size, at });
    this.heldBytes += size;
    this.run();
  }

  /** Lets pass what may; to be called again whenever the line has changed. */
  run() {
    clearTimeout(this.#timer);
    const { silent, throttle } = this.#line.state;
    while (!silent && this.#held.length > 0) {
      const wait = throttle ? this.#held[0].at - performance.now() : 0;
      if (wait > 0) {
        this.#timer = setTimeout(() => this.run(), wait);
        return;
      }
      const next = /** @type {{ pass: () => void, size: number, at: number }} */ (this.#held.shift());
      this.heldBytes -= next.size;
      next.pass();
      if (this.#held.length === 0) {
        this.#onEmpty();
      }
    }
  }

  drop() {
    clearTimeout(this.#timer);
    this.#held = [];
    this.heldBytes = 0;
  }
}

/** @param {unknown} data */
const sizeOf = (data) => (typeof data === 'string' ? data.length : /** @type {ArrayBuffer} */ (data).byteLength ?? 0);

/** A socket whose bytes go through gates. */
class Wire {
  #socket;
  #forgotten = false;
  #incoming;
  #outgoing;
  /** @type {Map<string, ((event: Event) => void) | null>} The network's, by the type of event. */
  #handlers = new Map();

  /**
   * @param {Line} line
   * @param {Socket} socket
   */
  constructor(line, socket) {
    this.#socket = socket;
    this.#incoming = new Gate(line, () => {});
    this.#outgoing = new Gate(line, () => socket.dispatchEvent(new Event('bufferedamountlow')));
    const send = socket.send.bind(socket);
    const buffered = bufferedAmountOf(socket);
    for (const type of ['message', 'close', 'error']) {
      Object.defineProperty(socket, `on${type}`, {
        get: () => this.#handlers.get(type) ?? null,
        set: (handler) => {
          this.#handlers.set(type, handler);
        },
      });
      socket.addEventListener(type, (event) => {
        if (this.#forgotten) {
          return;
        }
        if (type !== 'message' || this.#incoming.isOpen) {
          this.#handle(event);
        } else {
          this.#incoming.push(sizeOf(/** @type {MessageEvent} */ (event).data), () => this.#handle(event));
        }
      });
    }
    Object.defineProperty(socket, 'bufferedAmount', {
      get: () => (this.#forgotten ? 0 : this.#outgoing.heldBytes + buffered()),
    });
    Object.defineProperty(socket, 'send', {
      value: (/** @type {Uint8Array<ArrayBuffer>} */ data) => {
        if (this.#forgotten) {
          return;
        }
        if (this.#outgoing.isOpen) {
          send(data);
          return;
        }
        // A view of memory that is soon used for something else.
        const copy = data.slice();
        this.#outgoing.push(copy.byteLength, () => {
          if (socket.readyState === 1 || socket.readyState === 'open') {
            send(copy);
          }
        });
      },
    });
  }

  /** @param {Event} event */
  #handle(event) {
    this.#handlers.get(event.type)?.call(this.#socket, event);
  }

  get isOver() {
    return [2, 3, 'closing', 'closed'].includes(this.#socket.readyState);
  }

  run() {
    this.#outgoing.run();
    this.#incoming.run();
  }

  close() {
    this.#incoming.drop();
    this.#outgoing.drop();
    this.#socket.close();
  }

  /** Closes it for the other end only: at this end it looks open and is dead, until it is closed here too. */
  forget() {
    const socket = this.#socket;
    this.#forgotten = true;
    this.close();
    const [open, closed] = typeof socket.readyState === 'string' ? ['open', 'closed'] : [1, 3];
    let state = open;
    Object.defineProperty(socket, 'readyState', { get: () => state });
    Object.defineProperty(socket, 'close', {
      value: () => {
        if (state === open) {
          state = closed;
          // Nobody answers; a browser waits a little for it.
          setTimeout(() => this.#handle(new Event('close')), UNANSWERED_CLOSE_MS);
        }
      },
    });
  }
}

/** @param {Socket} socket */
function bufferedAmountOf(socket) {
  const property = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(socket), 'bufferedAmount');
  return () => /** @type {number} */ (property?.get?.call(socket) ?? 0);
}

export class Line {
  /** @type {LineState} */
  state = { cut: false, silent: false, throttle: undefined };
  /** @type {Set<Wire>} */
  #wires = new Set();
  /** @type {Set<RTCPeerConnection>} */
  #connections = new Set();

  /**
   * @param {{ WebSocket?: typeof WebSocket, RTCPeerConnection?: typeof RTCPeerConnection }} scope the global object of a
   *   context
   */
  constructor(scope) {
    if (scope.WebSocket) {
      scope.WebSocket = new Proxy(scope.WebSocket, {
        construct: (target, args) => this.#watch(Reflect.construct(target, args)),
      });
    }
    if (scope.RTCPeerConnection) {
      scope.RTCPeerConnection = new Proxy(scope.RTCPeerConnection, {
        construct: (target, args) => this.#watchConnection(Reflect.construct(target, args)),
      });
    }
  }

  get #isDown() {
    return this.state.cut || this.state.silent;
  }

  /**
   * @template {Socket} T
   * @param {T} socket
   */
  #watch(socket) {
    for (const wire of this.#wires) {
      if (wire.isOver) {
        this.#wires.delete(wire);
      }
    }
    this.#wires.add(new Wire(this, socket));
    if (this.#isDown && 'url' in socket) {
      socket.close(); // which a socket that was never open tells as an error
    }
    return socket;
  }

  /** @param {RTCPeerConnection} connection */
  #watchConnection(connection) {
    for (const other of this.#connections) {
      if (other.connectionState === 'closed') {
        this.#connections.delete(other);
      }
    }
    this.#connections.add(connection);
    if (this.#isDown) {
      Object.defineProperty(connection, 'createOffer', { value: () => Promise.reject(new Error('the line is down')) });
    }
    const createDataChannel = connection.createDataChannel.bind(connection);
    connection.createDataChannel = (label, options) => this.#watch(createDataChannel(label, options));
    // Heard before the network's own listener, which is set later.
    connection.addEventListener('datachannel', ({ channel }) => this.#watch(channel));
    return connection;
  }

  /** @param {Partial<LineState>} change */
  set(change) {
    this.state = { ...this.state, ...change };
    if (this.state.cut) {
      this.#closeAll();
    }
    for (const wire of this.#wires) {
      wire.run();
    }
  }

  #closeAll() {
    for (const wire of this.#wires) {
      wire.close();
    }
    this.#wires.clear();
    for (const connection of this.#connections) {
      connection.close();
      // A connection that closes itself tells nobody; one whose other end is gone does.
      connection.dispatchEvent(new Event('connectionstatechange'));
    }
    this.#connections.clear();
  }

  /** What is connected is dead from now on without this end having been told; new connections work. */
  forgetAll() {
    for (const wire of this.#wires) {
      wire.forget();
    }
    this.#wires.clear();
    for (const connection of this.#connections) {
      connection.close();
      Object.defineProperty(connection, 'connectionState', { get: () => 'connected' });
    }
    this.#connections.clear();
  }
}
