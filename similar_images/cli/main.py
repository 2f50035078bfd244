"""The command `similar-images`: every command of this folder by its name."""

from importlib import import_module

import click

COMMANDS = {  # name -> file of this folder; a command is imported when it is used
    "demo": "demo",
    "update": "update",
    "extract": "extract",
    "extract-texts": "extract_texts",
    "build": "build",
    "search": "search",
    "search-texts": "search_texts",
    "evaluate": "evaluate",
    "duplicates": "duplicates",
    "export": "export",
    "map": "map",
    "clusters": "clusters",
    "notebook": "notebook",
}


class Commands(click.Group):
    """A group that imports a command only when it is used, so that `--help` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"similar_images.cli.{COMMANDS[cmd_name]}").main
        return command


@click.group(cls=Commands)
@click.version_option(package_name="similar-images")
def main() -> None:
    """Find the images of a collection that look most like a given one, or the texts closest in meaning."""
