// What is measured of a stack: an object with `send(text)`, which resolves when the text is written, and `onMessage`. At the
// other end is the native echo of tests/network/src/echo.rs.

const sized = (kind, bytes) => {
  const head = `["${kind}","`;
  return `${head}${'x'.repeat(Math.max(0, bytes - head.length - 2))}"]`;
};

/** The time that each of `count` messages takes to come back, one after the other. */
export async function roundTrips(stack, bytes, count) {
  const text = sized('echo', bytes);
  const times = [];
  for (let number = 0; number < count; number += 1) {
    const startedAt = performance.now();
    const back = new Promise((resolve) => (stack.onMessage = resolve));
    await stack.send(text);
    const answer = await back;
    times.push(performance.now() - startedAt);
    if (answer.length !== text.length) {
      throw new Error(`${text.length} bytes came back as ${answer.length}`);
    }
  }
  return times;
}

/** How long it takes until the peer has all of `count` messages. */
export async function sendMany(stack, bytes, count) {
  const text = sized('sink', bytes);
  const startedAt = performance.now();
  let left = count;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      await stack.send(text);
    }
  };
  await Promise.all(Array.from({ length: stack.constructor.WINDOW }, worker));
  const counted = new Promise((resolve) => (stack.onMessage = resolve));
  await stack.send('["sum"]');
  const [, got] = JSON.parse(await counted);
  if (got !== count) {
    throw new Error(`${got} of ${count} messages arrived`);
  }
  return performance.now() - startedAt;
}

/** How long it takes until all of `count` messages of the peer have come. */
export async function receiveMany(stack, bytes, count) {
  const startedAt = performance.now();
  await new Promise((resolve, reject) => {
    let got = 0;
    stack.onMessage = (text) => {
      got += 1;
      if (text.length !== bytes) {
        reject(new Error(`${bytes} bytes came as ${text.length}`));
      } else if (got === count) {
        resolve(undefined);
      }
    };
    void stack.send(JSON.stringify(['send', count, bytes])).catch(reject);
  });
  return performance.now() - startedAt;
}
