"""Command lines and parameter files -> finished stages, experiments and sweeps.

In: `dmnet` commands and params/*.yaml. Out: results/<experiment>/<stage>/<key>, exit status.
May know: every room.
"""

import sys

# nbformat's checks come with a grammar of IRIs, which no notebook has and which takes 3 s to load.
sys.modules.setdefault("rfc3987_syntax", None)
