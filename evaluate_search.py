#!/usr/bin/env python3
"""How good a search is, from the shell."""

from similar_images.cli.evaluate import main

if __name__ == "__main__":
    main()
