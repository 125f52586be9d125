"""Window sums, maps or points -> crop regions: the rule of the paper, grids, and planned crops.

In: masks, density by object size, a recall curve. Out: `Regions`, cropped images and annotations.
May know: core, data and density.
"""
