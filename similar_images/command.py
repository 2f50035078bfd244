"""What the scripts share: commands whose errors are one line."""

import click


class Command(click.Command):
    """A click command that tells every error, its own and the library's, in one line and ends with 1 or 2."""

    def make_context(self, *args: object, **kwargs: object) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            error.ctx = None  # click would put the usage above the message
            raise

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (OSError, ValueError) as error:
            raise click.ClickException(" ".join(str(error).split())) from error
