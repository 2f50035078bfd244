"""Names, vectors and index, opened together and searched."""
