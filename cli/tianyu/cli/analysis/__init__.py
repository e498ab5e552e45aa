"""What ``tianyu analyse`` and ``tianyu inject`` compute from stored light curves."""
