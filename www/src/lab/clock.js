// A clock that can be set ahead, as after a sleep of the machine. To be imported before what reads the time.

const now = Date.now.bind(Date);
let ahead = 0;

Date.now = () => now() + ahead;

/**
 * The wall clock is so much later from now on; timers are not, as in a browser on a machine that slept.
 * @param {number} ms
 */
export function jump(ms) {
  ahead += ms;
}
