"""`python -m kgraph`: the same as the command `kgraph`."""

import sys

from kgraph.cli import main

sys.exit(main())
