"""`python -m orderfleet.observability` prints deploy/docs/metrics.md."""

from __future__ import annotations

import sys

from orderfleet.observability.exposition import markdown

if __name__ == "__main__":
    sys.stdout.write(markdown())
