#!/usr/bin/env python3
"""The near-duplicates of a collection, from the shell."""

from similar_images.cli.script import command

main = command("duplicates")

if __name__ == "__main__":
    main()
