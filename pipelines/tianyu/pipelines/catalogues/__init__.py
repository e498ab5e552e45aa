"""Star catalogues: Gaia by the network with a cache on disk, and files, in one form."""
