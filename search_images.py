#!/usr/bin/env python3
"""The images most like a given one, in the shell."""

from similar_images.cli.script import command

main = command("search")

if __name__ == "__main__":
    main()
