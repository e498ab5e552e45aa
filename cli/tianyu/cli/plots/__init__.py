"""Pictures; imported only when one is wanted, since matplotlib is slow to import."""
