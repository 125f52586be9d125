"""Data sets and annotation formats -> splits of images and annotations, and back.

In: folders and files as people have them. Out: `Split`, `Annotations`, files of other formats.
May know: core.
"""
