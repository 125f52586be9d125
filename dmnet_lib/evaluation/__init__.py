"""Truth and detections in, metrics out: two protocols, crop geometry, intervals."""
