// A Worker that answers calls only after it has loaded something, as most do.

import { answerCalls } from '/js/connect.js';

await new Promise((resolve) => setTimeout(resolve, 100));
answerCalls({
  double: (number) => number * 2,
  wait: (_label, { signal }) => (signal.aborted ? 'aborted' : new Promise(() => {})),
});
