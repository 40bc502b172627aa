/**
 * The addresses of a hub's protocol, below wherever the hub is.
 */

import type { HubSettings } from "./flush.js";

/** The address of a path of this device. */
export const hubAddress = ({ url, device }: HubSettings, path: string): URL =>
  new URL(`v1/edge/${encodeURIComponent(device)}/${path}`, url.endsWith("/") ? url : `${url}/`);
