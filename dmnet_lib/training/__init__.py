"""Images, points and boxes in, trained networks out: one loop, and the batches of each network."""
