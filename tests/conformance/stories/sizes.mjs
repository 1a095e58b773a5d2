export const sizes = {};
