"""Write the generated documents, or compare them with `--check`."""

import sys
from pathlib import Path

from parley_cli.documents import pages

if __name__ == "__main__":
    sys.exit(pages.main(sys.argv[1:], Path(__file__).resolve().parent.parent))
