"""Where the reference data lie, and the mark of tests that need them."""

import os
from pathlib import Path

import pytest

from dmnet_lib.core.files import ROOT

SHARED = Path(os.environ.get("DMNET_SHARED_DATA", ROOT.parent / "shared" / "data"))
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no reference data at {SHARED}")
