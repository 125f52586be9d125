"""Command lines and parameter files -> finished stages, experiments and sweeps.

In: `dmnet` commands and params/*.yaml. Out: results/<experiment>/<stage>/<key>, exit status.
May know: every room.
"""
