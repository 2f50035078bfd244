#!/usr/bin/env python3
"""How good a search is, from the shell."""

from similar_images.cli.script import command

main = command("evaluate")

if __name__ == "__main__":
    main()
