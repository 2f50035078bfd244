#!/usr/bin/env python3
"""Images to vectors, from the shell."""

from similar_images.cli.extract import main

if __name__ == "__main__":
    main()
