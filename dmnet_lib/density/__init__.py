"""Annotations -> points -> density maps, window sums; MCNN, which predicts the maps.

In: `Annotations` and images. Out: density maps, sums over windows.
May know: core and data.
"""
