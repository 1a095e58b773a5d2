export const restarts = {};
