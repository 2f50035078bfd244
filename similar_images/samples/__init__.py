"""The sample collections: pictures, docstrings, tweets."""
