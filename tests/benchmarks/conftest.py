"""The benchmarks are no installed package: they are imported from the clone's root."""

import sys

from support.tree import ROOT

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
