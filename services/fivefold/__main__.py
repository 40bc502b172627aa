"""`python -m fivefold`: the same as the command `fivefold`."""

from __future__ import annotations

import sys

from fivefold.cli import main

if __name__ == "__main__":
    sys.exit(main())
