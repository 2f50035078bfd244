#!/usr/bin/env python3
"""Vectors to a search index, from the shell."""

from similar_images.cli.build import main

if __name__ == "__main__":
    main()
