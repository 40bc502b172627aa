/**
 * The page of an export: the server's own page, with its answers from this device, and what the device has beside them.
 */

import { show } from "./device-panel.js";
import "fivefold-page/page.js";

show();
