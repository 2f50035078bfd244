"""Pages of HTML that need no other file: templates of this folder, pictures in the page itself."""

import base64
from pathlib import Path

import jinja2

from similar_images.inputs import images


def render(template: str, **content: object) -> str:
    """Return the page of a template; what is put into it is escaped, and nothing may be missing."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(template).render(**content)


def picture(source: images.Source, side: int) -> str:
    """Return an image's thumbnail as a data: address. Raises UnreadableImage."""
    return f"data:image/jpeg;base64,{base64.b64encode(images.thumbnail(source, side)).decode()}"
