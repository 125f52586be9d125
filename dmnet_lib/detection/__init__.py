"""Images and crops -> detections of each view, fused detections of each inference strategy.

In: a detector, images, `Regions`. Out: `ViewDetections`, fused `Detections`, predictions.
May know: core, data, density and cropping.
"""
