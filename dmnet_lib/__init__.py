"""DMNet suite: annotations -> points -> density -> regions -> crops -> detections -> report."""
