"""Write the generated pages, or compare them with `--check`."""

import sys
from pathlib import Path

from parley_cli import documents

if __name__ == "__main__":
    sys.exit(documents.main(sys.argv[1:], Path(__file__).resolve().parent.parent))
