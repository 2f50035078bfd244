"""Search backend on Milvus: fill, open, search and tune an index there."""
