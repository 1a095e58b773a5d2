// Counts every RTCPeerConnection of the page, from before anybody makes one.

const all = new Set();
let made = 0;

globalThis.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) {
    super(...args);
    made += 1;
    all.add(this);
  }

  close() {
    super.close();
    all.delete(this);
  }
};

/** How many there were, and how many of them nobody has closed. */
export const connections = () => ({ made, open: all.size });
