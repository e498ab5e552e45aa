"""From one point of a light curve to everything that made it."""
