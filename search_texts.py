#!/usr/bin/env python3
"""The texts most like a given one, in the shell."""

from similar_images.cli.search_texts import main

if __name__ == "__main__":
    main()
