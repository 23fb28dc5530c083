"""`python -m ecgstudy`: the command line."""

import sys

from ecgstudy.cli import main

sys.exit(main())
