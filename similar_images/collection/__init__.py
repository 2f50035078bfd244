"""Collections: names, vectors and index, opened together and searched."""
