"""The notebook's map: every image of a collection at its place, near those that it is like."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import traitlets
from traitlets import Bytes, Dict, Int, List, TraitError, Unicode, observe, validate

from similar_images.collection.images import Collection
from similar_images.widgets import map_colours, messages
from similar_images.widgets.background import BackgroundWidget
from similar_images.widgets.chosen import different_rows
from similar_images.widgets.gallery import Gallery
from similar_images.widgets.search import CSS, STATIC, page
from similar_images.widgets.thumbnails import Thumbnails

SIDES = (160, 320)  # pixels; of the pictures on the map, and of the one that is pointed at
MAX_PICTURES = 1000  # in a request of the page
NONE, CLUSTER, QUERY = "", "cluster", "similarity to the query"  # choices of `color_by`, beside the names of `color`


class Map(BackgroundWidget):
    """Shows all images of a collection: dots from afar, pictures from near.

    A click searches by an image in the gallery, a lasso selects images. `selection`, `query`, `color` and `color_by` can
    be read, set and observed; the selection is the gallery's, too.
    """

    _esm, _css = page("points.js", "map_layers.js", "map.js"), CSS + (STATIC / "map.css").read_text(encoding="utf-8")
    _settable = BackgroundWidget._settable | {"selection", "query", "color_by", "height"}
    selection: Any = List().tag(sync=True)  # rows
    query = Int(None, allow_none=True).tag(sync=True)  # the row that was searched by last; None: not of the collection
    color: Any = traitlets.Any(None)  # a value per image, or a dict of several such sequences by their names
    color_by = Unicode(NONE).tag(sync=True)  # which of them is shown
    height = Int(560).tag(sync=True)  # pixels
    _positions = Bytes().tag(sync=True)  # float32 (n, 2), little-endian; NaN: no place
    _codes = Bytes().tag(sync=True)  # uint8 (n,), of `map_colours`
    _legend = Dict().tag(sync=True)
    _choices: List = List().tag(sync=True)  # of `color_by`

    def __init__(
        self,
        collection: Collection,
        coordinates: np.ndarray | None = None,
        gallery: Gallery | None = None,
        color: Sequence | np.ndarray | Mapping[str, Sequence | np.ndarray] | None = None,
        **settings: Any,
    ):
        """`coordinates`: (n, 2), NaN for an image without a place; by default `collection.map()`, made in the
        background, of more than 200,000 images once the page is asked to.

        `color` is a sequence of n values, or a dict of such sequences: floats are shown as a scale, others as categories.
        Raises ValueError for coordinates or values of another shape.
        """
        if coordinates is None:
            coordinates = collection.kept_map()
        elif np.shape(coordinates) != (len(collection), 2):
            raise ValueError(f"expected coordinates of shape ({len(collection)}, 2), got {np.shape(coordinates)}")
        super().__init__()
        self.collection, self.gallery = collection, gallery
        self._thumbnails = {side: Thumbnails(collection, side) for side in SIDES}
        self._newest = 0
        self._link: traitlets.link | None = None
        self._is_closed = False
        if coordinates is None:
            self._begin(self._lay_out, len(collection), f"The map of {len(collection):,} images takes minutes to make.")
        else:
            self._place(coordinates)
        self._labels: dict[str, map_colours.Colouring] = {}
        self._shown = map_colours.NOTHING
        self.color = color
        self._offer({})
        if gallery is not None:
            self._follow(gallery)
        self.on_msg(self._told)
        for name, value in settings.items():
            self.set_trait(name, value)

    def close(self) -> None:
        """Close the widget: its threads, its thumbnails, and its tie to the gallery."""
        if not self._is_closed:
            self._is_closed = True
            self.on_msg(self._told, remove=True)
            if self._link is not None:
                self._link.unlink()
            if self.gallery is not None:
                self.gallery.unobserve(self._asked, "shown")
            for thumbnails in self._thumbnails.values():
                thumbnails.close()
        super().close()

    def search(self, row: int) -> None:
        """Search by an image, in the gallery if there is one."""
        self.query = row
        if self.gallery is not None:
            self.gallery.search_row(row)

    def _lay_out(self) -> None:
        self._place(self.collection.map(progress=self._doing("Placing the images …")))

    def _place(self, coordinates: np.ndarray) -> None:
        positions = np.ascontiguousarray(coordinates, dtype="<f4")
        self._positions = np.where(np.isfinite(positions).all(axis=1, keepdims=True), positions, np.nan).tobytes()
        self._say("done")

    @validate("selection")
    def _rows_of_the_collection(self, proposal: dict) -> list[int]:
        return different_rows(proposal["value"], len(self.collection))

    @validate("color")
    def _values_of_the_collection(self, proposal: dict) -> Any:
        named = proposal["value"]
        if named is not None and not isinstance(named, Mapping):
            named = {"label": named}
        self._labels = {str(name): map_colours.colour(one, len(self.collection)) for name, one in (named or {}).items()}
        return proposal["value"]

    @validate("color_by")
    def _one_of_the_choices(self, proposal: dict) -> str:
        if proposal["value"] not in self._choices:
            raise TraitError(f"expected color_by to be one of {self._choices}, got {proposal['value']!r}")
        return proposal["value"]

    @observe("color")
    def _offer(self, _: dict) -> None:
        """Offer the colours that there are; show the new ones."""
        others = [CLUSTER] if CLUSTER not in self._labels else []
        others += [QUERY] if self.gallery is not None and self.collection.has_vectors else []
        self._choices = [NONE, *self._labels, *others]
        before, self.color_by = self.color_by, next(iter(self._labels), NONE)
        if before == self.color_by:
            self._paint({})

    @observe("color_by")
    def _paint(self, _: dict) -> None:
        if self.color_by in self._labels:
            self._show(self._labels[self.color_by])
        elif self.color_by == NONE:
            self._show(map_colours.NOTHING)
        else:
            self._in_background(self._paint_by_query if self.color_by == QUERY else self._paint_by_cluster)

    def _paint_by_cluster(self) -> None:
        painted = map_colours.clusters(self.collection.clusters(self._doing("Finding the clusters …")))
        self._say("done")
        if self.color_by == CLUSTER:
            self._show(painted)

    def _paint_by_query(self) -> None:
        if self.gallery is not None and (asked := self.gallery.history.current) is not None:
            painted = map_colours.scale(map_colours.similarities(self._exact, asked))
            if self.color_by == QUERY and self.gallery.history.current is asked:
                self._show(painted)

    @cached_property
    def _exact(self) -> Collection:
        """The collection without its index, to compare a query with every image."""
        return self.collection.with_index(None, self.collection.similarity)

    def _show(self, colouring: map_colours.Colouring) -> None:
        self._shown = colouring
        with self.hold_sync():
            self._codes, self._legend = colouring.codes.tobytes(), colouring.legend

    def _follow(self, gallery: Gallery) -> None:
        """Share the gallery's selection, and show its query."""
        self._link = traitlets.link((gallery, "selection"), (self, "selection"))
        gallery.observe(self._asked, "shown")
        self._asked({"new": gallery.shown})

    def _asked(self, change: dict) -> None:
        if change["new"]:
            self.query = change["new"]["query"]["row"]
            if self.color_by == QUERY:
                self._in_background(self._paint_by_query)

    def _do(self, message: dict, buffers: list) -> None:
        if self.status["kind"] == "failure":
            self._say("done")
        match message:
            case {"do": "begin"}:
                self._begin_offered()
            case {"do": "search", "row": int(row)} if 0 <= row < len(self.collection):
                self._in_background(lambda: self.search(row))
            case {"do": "describe", "row": int(row)} if 0 <= row < len(self.collection):
                self._in_background(lambda: self._describe(row))
            case {"do": "pictures", "rows": [*given]} if len(given) <= MAX_PICTURES:
                self._newest += 1
                rows, number = messages.rows(message, len(self.collection), MAX_PICTURES), self._newest
                self._in_background(lambda: self._send_pictures(rows, number))
            case _:
                raise ValueError(
                    f"expected search, describe or up to {MAX_PICTURES} pictures, got {messages.shortened(message)}"
                )

    def _describe(self, row: int) -> None:
        """Send the name of an image, its value, and its picture."""
        for made in self._thumbnails[SIDES[1]].get([row]):
            for picture in made.values():
                about = {"show": "described", "row": row, "name": self.collection.names[row]}
                about["value"] = self._shown.describe(row)
                self.send(*_message(about, [picture]))

    def _send_pictures(self, rows: list[int], number: int) -> None:
        """Send pictures as they are made, until the page has moved on and wants others."""
        for made in self._thumbnails[SIDES[0]].get(rows):
            self.send(*_message({"show": "pictures", "rows": list(made)}, list(made.values())))
            if number != self._newest or self._is_closed:
                return


def _message(about: dict, pictures: list[bytes | str]) -> tuple[dict, list[bytes]]:
    """Return a message with pictures as its buffers, an empty one and the reason where there is none."""
    reasons = ["" if isinstance(one, bytes) else one for one in pictures]
    return about | {"absent": reasons}, [one if isinstance(one, bytes) else b"" for one in pictures]
