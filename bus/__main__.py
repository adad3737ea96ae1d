"""`python -m bus` is `lianfang`."""

import sys

from bus.cli import main

sys.exit(main())
