"""Annotations and detections in and out of other programs' file formats."""
