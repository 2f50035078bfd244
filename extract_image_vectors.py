#!/usr/bin/env python3
"""Images to vectors, from the shell."""

from similar_images.cli.script import command

main = command("extract")

if __name__ == "__main__":
    main()
