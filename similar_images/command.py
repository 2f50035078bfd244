"""What the scripts share: commands whose errors are one line."""

import click


class Bytes(click.ParamType):
    """A size such as 8M: bytes, or thousands (k), millions (M), thousands of millions (G) of them."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        number, unit = str(value)[:-1], str(value)[-1:].upper()
        factor = {"K": 10**3, "M": 10**6, "G": 10**9}.get(unit)
        try:
            size = int(float(number) * factor) if factor else int(str(value))
        except ValueError:
            size = 0
        if size < 1:
            self.fail(f"expected a size such as 500k, 8M or 2G, got {value}", param, ctx)
        return size


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
