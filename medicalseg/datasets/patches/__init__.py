"""Training on patches: preprocessed cases in blocks on the disk, what is where in them, and which patch comes next."""
