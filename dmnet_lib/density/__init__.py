"""Annotations -> points -> density maps, window sums and masks; MCNN, which predicts the maps.

In: `Annotations` and images. Out: density maps, sums over windows, masks of dense windows.
May know: core and data.
"""
