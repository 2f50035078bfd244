"""Names, vectors and their manifest on disk, and their extraction."""
