"""scratchformer's command line in a checkout: `python run.py plus_last_even`. See scratchformer/commands/."""

import sys

from scratchformer.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
