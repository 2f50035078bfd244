"""Pages of HTML that need no other file: the templates of this folder, with styles and pictures inside the page."""

import base64
from functools import cache
from pathlib import Path
from urllib.parse import quote

import jinja2

from similar_images.files import relative_path, replace_file
from similar_images.inputs import images
from similar_images.inputs.sources import Folder, Source


def render(template: str, **content: object) -> str:
    """Return the page of a template. All content is escaped; a missing value raises jinja2.UndefinedError."""
    return _environment().get_template(template).render(**content)


def write(path: Path, template: str, **content: object) -> None:
    """Write the page of a template to a file, whole or not at all. Iterators in the content are read as it is written."""
    with replace_file(path) as partial:
        _environment().get_template(template).stream(**content).dump(str(partial), encoding="utf-8")


def source(name: str) -> str:
    """Return a file of this folder: JavaScript that a widget shares, or a script."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def picture(source: images.ImageSource, side: int) -> str:
    """Return the thumbnail of an image as a `data:` URL. Raises UnreadableImage."""
    return jpeg_url(images.make_thumbnail(source, side))


def jpeg_url(jpeg: bytes) -> str:
    """Return a JPEG as a `data:` URL."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def link(page: Path, source: Source | None, name: str) -> str | None:
    """Return the URL of an image's file, relative to the page if both are on one drive; None in an archive, or outside."""
    if not isinstance(source, Folder):
        return None
    try:
        file = source.locate(name)
    except images.UnreadableImage:
        return None
    try:
        return quote(relative_path(file, page.parent))
    except ValueError:  # another drive
        return file.absolute().as_uri()


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
