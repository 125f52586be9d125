"""Detections and ground truth -> metrics, intervals, comparisons and the sentences on them.

In: `Detections`, `Annotations`, finished experiments. Out: metrics, tables, verdicts.
May know: every room but reporting and running.
"""
