// One end of the bridge in plain JavaScript, written from protocol §9 alone: nothing of ours is in it. It is as strict as the
// TypeScript kernel: whatever is on the port that is neither a signal nor a message of JSON-RPC, to the letter, is a violation.

const only = (object, ...names) => Object.keys(object).every((name) => names.includes(name));
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isId = (value) => value === null || typeof value === 'string' || Number.isInteger(value);

function isJson(value) {
  if (value === null || ['string', 'boolean'].includes(typeof value) || Number.isFinite(value)) {
    return true;
  }
  if (Array.isArray(value)) {
    return value.every(isJson);
  }
  return isObject(value) && Object.getPrototypeOf(value) === Object.prototype && Object.values(value).every(isJson);
}

function kindOf(data) {
  if (!isObject(data) || !isJson(data)) {
    return 'violation';
  }
  for (const signal of ['@@Syn', '@@Ack', '@@StreamDone']) {
    if (data[signal] === true && only(data, signal)) {
      return signal;
    }
  }
  if (data.jsonrpc !== '2.0') {
    return 'violation';
  }
  if (typeof data.method === 'string' && only(data, 'jsonrpc', 'id', 'method', 'params')) {
    return 'id' in data ? (isId(data.id) ? 'request' : 'violation') : 'notification';
  }
  const isSuccess = 'result' in data && only(data, 'jsonrpc', 'id', 'result');
  const { error } = data;
  const isFailure =
    isObject(error) &&
    Number.isInteger(error.code) &&
    typeof error.message === 'string' &&
    only(error, 'code', 'message', 'data', 'stack') &&
    only(data, 'jsonrpc', 'id', 'error');
  return isId(data.id) && (isSuccess || isFailure) ? 'response' : 'violation';
}

export class PlainEnd {
  violations = [];
  /** Requests that came, as `[method, params]`. */
  heard = [];
  /** What is answered to a method: a result, an error object, or nothing until `answer` is called. */
  answers = {};
  reloadsSeen = 0;
  isDone = false;

  #target;
  #isOpen = false;
  #hasAcked = false;
  #pending = new Map();
  #held = [];
  #unanswered = [];
  #listener = (event) => this.#take(event);

  constructor(target) {
    this.#target = target;
    target.addEventListener('message', this.#listener);
    target.start?.();
    this.#post({ '@@Syn': true });
  }

  /** As if its context had been closed: it says nothing. */
  vanish() {
    this.#target.removeEventListener('message', this.#listener);
  }

  /** Calls under an id of any kind and resolves to the answer, with what the port that came along says, if one came. */
  call(id, method, params) {
    return new Promise((resolve) => {
      const post = () => {
        this.#pending.set(id, resolve);
        this.#post({ jsonrpc: '2.0', id, method, ...(params !== undefined && { params }) });
      };
      this.#isOpen ? post() : this.#held.push(post);
    });
  }

  post(message) {
    this.#post(message);
  }

  /** Answers what was left unanswered. */
  answer(result) {
    this.#unanswered.splice(0).forEach((id) => this.#post({ jsonrpc: '2.0', id, result }));
  }

  #post(message, transfer = []) {
    this.#target.postMessage(message, transfer);
  }

  #take({ data, ports }) {
    const kind = kindOf(data);
    if (kind === '@@Syn') {
      if (this.#isOpen) {
        this.reloadsSeen += 1;
        this.#isOpen = false;
        this.#pending.forEach((resolve) => resolve({ reloaded: true }));
        this.#pending.clear();
        this.#post({ '@@Syn': true });
      }
      this.#hasAcked = true;
      this.#post({ '@@Ack': true });
    } else if (kind === '@@Ack') {
      if (!this.#hasAcked) {
        this.#post({ '@@Ack': true });
      }
      this.#hasAcked = false;
      this.#isOpen = true;
      this.#held.splice(0).forEach((post) => post());
    } else if (kind === '@@StreamDone') {
      this.isDone = true;
    } else if (!this.#isOpen || kind === 'violation') {
      this.violations.push(this.#isOpen ? data : { beforeTheOpening: data });
    } else if (kind === 'request') {
      this.#handle(data);
    } else if (kind === 'response') {
      const resolve = this.#pending.get(data.id);
      this.#pending.delete(data.id);
      resolve ? this.#settle(resolve, data, ports) : this.violations.push(data);
    }
  }

  #handle({ id, method, params }) {
    this.heard.push([method, params]);
    const answer = this.answers[method];
    if (answer === undefined) {
      this.#unanswered.push(id);
    } else if (answer === 'a port') {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data }) => port1.postMessage(`${data} from ${params.vatId}`);
      this.#post({ jsonrpc: '2.0', id, result: null }, [port2]);
    } else {
      this.#post({ jsonrpc: '2.0', id, ...answer });
    }
  }

  #settle(resolve, { result, error }, [port]) {
    if (!port) {
      resolve(error ? { error } : { result });
      return;
    }
    port.onmessage = ({ data }) => resolve({ result, portSays: data });
    port.postMessage('hello');
  }
}

/** A port that can be cut off, as when the context at it is reloaded: what was made over it hears and says nothing more. */
export function cuttable(port) {
  const listeners = new Map();
  let isCut = false;
  return {
    postMessage: (...args) => isCut || port.postMessage(...args),
    addEventListener(kind, listener) {
      listeners.set(listener, (event) => isCut || listener(event));
      port.addEventListener(kind, listeners.get(listener));
      port.start();
    },
    removeEventListener: (kind, listener) => port.removeEventListener(kind, listeners.get(listener)),
    cut: () => (isCut = true),
  };
}

const inWorker = typeof WorkerGlobalScope !== 'undefined' && self instanceof WorkerGlobalScope;
if (inWorker && self.name === 'plain-end') {
  const end = new PlainEnd(self);
  Object.assign(end.answers, { sendRemoteMessage: { result: null }, initializeRemoteComms: { result: null } });
}

/** A Worker with a network in it that answers what a kernel needs first. */
export const plainWorker = () => new Worker(import.meta.url, { type: 'module', name: 'plain-end' });
