/**
 * Scoring without a page: what a program on Node needs to hold the answers of WebAssembly beside others.
 */

export { compared, goldenRows } from "./golden.js";
export { BundleInvalid, type Files, verified } from "./manifest.js";
export { prepare, type Runtime, Scorer } from "./scorer.js";
