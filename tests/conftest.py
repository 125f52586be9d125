"""What all tests share: a folder of their own for what is kept between runs."""

import os
import tempfile

# Before any test, and so that commands run as processes see it too.
os.environ["DMNET_CACHE"] = tempfile.mkdtemp(prefix="dmnet-test-cache-")
