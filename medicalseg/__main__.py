"""`python -m medicalseg VERB`, the same as `medicalseg VERB`."""

import sys

from medicalseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
