"""``python -m sigpy_priors`` is ``sigpy-priors``."""

import sys

from sigpy_priors.cli import main

sys.exit(main())
