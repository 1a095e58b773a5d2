// What the modules of this context take. The package does not tell; so it is seen when they are instantiated.

/** @type {WebAssembly.Memory[]} */
const memories = [];

/** @param {WebAssembly.WebAssemblyInstantiatedSource | WebAssembly.Instance} made */
function note(made) {
  const { exports } = 'instance' in made ? made.instance : made;
  if (exports.memory instanceof WebAssembly.Memory) {
    memories.push(exports.memory);
  }
}

for (const name of /** @type {const} */ (['instantiate', 'instantiateStreaming'])) {
  const instantiate = /** @type {(...args: any[]) => Promise<any>} */ (WebAssembly[name]).bind(WebAssembly);
  Object.defineProperty(WebAssembly, name, {
    value: async (/** @type {any[]} */ ...args) => {
      const made = await instantiate(...args);
      note(made);
      return made;
    },
  });
}

/** In bytes. */
export const moduleMemory = () => memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
