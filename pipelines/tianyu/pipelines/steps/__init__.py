"""One step per file; every module here registers the steps it defines."""
