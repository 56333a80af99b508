"""Side by side with peers, in one run: what is slow or large is seen as a ratio, since machines differ."""
