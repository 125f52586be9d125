"""Splits and crops -> trained weights of MCNN and of the detector.

In: a split, a network, a recipe. Out: weights, checkpoints and measurements on val.
May know: core, data, density, cropping and detection.
"""
