"""``python -m convtranspose``: the command line where its script is not on the path."""

import sys

from convtranspose.cli import main

sys.exit(main())
