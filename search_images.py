#!/usr/bin/env python3
"""The images most like a given one, in the shell."""

from similar_images.cli.search import main

if __name__ == "__main__":
    main()
