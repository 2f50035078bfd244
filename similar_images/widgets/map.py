"""The notebook's map: every image of a collection, similar images near each other."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import traitlets
from traitlets import Bytes, Dict, Int, List, TraitError, Unicode, observe, validate

from similar_images.collection.images import Collection
from similar_images.widgets import map_colours
from similar_images.widgets.background import BackgroundWidget, Buffers, check_rows
from similar_images.widgets.bundles import read_bundle
from similar_images.widgets.gallery import Gallery
from similar_images.widgets.replies import Description
from similar_images.widgets.selection import unique_rows
from similar_images.widgets.thumbnails import Thumbnails, as_reply

SIDES = (160, 320)  # pixels; of the pictures on the map, and of the one under the mouse
MAX_PICTURES = 1000  # in a request of the page
NONE, CLUSTER, QUERY = "", "cluster", "similarity to the query"  # choices of `color_by`, beside the names of `color`


class Map(BackgroundWidget):
    """Shows all images of a collection: zoom from dots to pictures.

    A click searches by an image in the gallery, a lasso selects images. `selection`, `query`, `color` and `color_by` can
    be read, set and observed; the gallery has the same selection.
    """

    _esm, _css = read_bundle("map")
    _settable = BackgroundWidget._settable | {"selection", "query", "color_by", "height"}
    selection: Any = List().tag(sync=True)  # rows
    query = Int(None, allow_none=True).tag(sync=True)  # the row of the last query; None: from outside the collection
    color: Any = traitlets.Any(None)  # a value per image, or a dict of several such sequences by their names
    color_by = Unicode(NONE).tag(sync=True)  # the name of the displayed one
    height = Int(560).tag(sync=True)  # pixels
    _positions = Bytes().tag(sync=True)  # float32 (n, 2), little-endian; NaN: no place
    _codes = Bytes().tag(sync=True)  # uint8 (n,), of `map_colours`
    _legend = Dict().tag(sync=True)
    _choices: Any = List().tag(sync=True)  # of `color_by`

    def __init__(
        self,
        collection: Collection,
        coordinates: np.ndarray | None = None,
        gallery: Gallery | None = None,
        color: Sequence[Any] | np.ndarray | Mapping[str, Sequence[Any] | np.ndarray] | None = None,
        **settings: Any,
    ):
        """`coordinates`: (n, 2), NaN for an image without a place; by default `collection.map()`, computed in the
        background, for more than 200,000 images after a click.

        `color` is a sequence of n values, or a dict of such sequences: floats are a scale, other values categories.
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
            text = f"The map of {len(collection):,} images takes minutes to make."
            self._start_or_offer(self._lay_out, len(collection), text)
        else:
            self._place(coordinates)
        self._labels: dict[str, map_colours.Colouring] = {}
        self._shown = map_colours.NOTHING
        self.color = color
        self._offer_colours({})
        if gallery is not None:
            self._follow(gallery)
        for name, value in settings.items():
            self.set_trait(name, value)

    def _free(self) -> None:
        if self._link is not None:
            self._link.unlink()
        if self.gallery is not None:
            self.gallery.unobserve(self._take_query, "shown")
        for thumbnails in self._thumbnails.values():
            thumbnails.close()

    def search(self, row: int) -> None:
        """Search by an image, in the gallery if there is one."""
        self.query = row
        if self.gallery is not None:
            self.gallery.search_row(row)

    def _lay_out(self) -> None:
        self._place(self.collection.map(progress=self._show_step("Placing the images …")))

    def _place(self, coordinates: np.ndarray) -> None:
        positions = np.ascontiguousarray(coordinates, dtype="<f4")
        self._positions = np.where(np.isfinite(positions).all(axis=1, keepdims=True), positions, np.nan).tobytes()
        self._set_status("done")

    @validate("selection")
    def _check_selection(self, proposal: dict[str, Any]) -> list[int]:
        return unique_rows(proposal["value"], len(self.collection))

    @validate("color")
    def _check_color(self, proposal: dict[str, Any]) -> Any:
        named = proposal["value"]
        if named is not None and not isinstance(named, Mapping):
            named = {"label": named}
        self._labels = {str(name): map_colours.colour(one, len(self.collection)) for name, one in (named or {}).items()}
        return proposal["value"]

    @validate("color_by")
    def _check_color_by(self, proposal: dict[str, Any]) -> str:
        if proposal["value"] not in self._choices:
            raise TraitError(f"expected color_by to be one of {self._choices}, got {proposal['value']!r}")
        return str(proposal["value"])

    @observe("color")
    def _offer_colours(self, _: object) -> None:
        """Offer the possible colours; show the new ones."""
        others = [CLUSTER] if CLUSTER not in self._labels else []
        others += [QUERY] if self.gallery is not None and self.collection.has_vectors else []
        self._choices = [NONE, *self._labels, *others]
        before, self.color_by = self.color_by, next(iter(self._labels), NONE)
        if before == self.color_by:
            self._paint({})

    @observe("color_by")
    def _paint(self, _: object) -> None:
        if self.color_by in self._labels:
            self._show(self._labels[self.color_by])
        elif self.color_by == NONE:
            self._show(map_colours.NOTHING)
        else:
            self._run(self._paint_by_query if self.color_by == QUERY else self._paint_by_cluster)

    def _paint_by_cluster(self) -> None:
        colouring = map_colours.clusters(self.collection.clusters(self._show_step("Finding the clusters …")))
        self._set_status("done")
        if self.color_by == CLUSTER:
            self._show(colouring)

    def _paint_by_query(self) -> None:
        if self.gallery is not None and (state := self.gallery.session.history.current) is not None:
            colouring = map_colours.scale(map_colours.similarities(self._exact, state))
            if self.color_by == QUERY and self.gallery.session.history.current is state:
                self._show(colouring)

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
        gallery.observe(self._take_query, "shown")
        self._take_query({"new": gallery.shown})

    def _take_query(self, change: dict[str, Any]) -> None:
        if change["new"]:
            self.query = change["new"]["query"]["row"]
            if self.color_by == QUERY:
                self._run(self._paint_by_query)

    def _answer(self, message: object, buffers: Buffers) -> None:
        if self.status["kind"] == "failure":
            self._set_status("done")
        super()._answer(message, buffers)

    def _answer_search(self, row: int) -> None:
        check_rows([row], len(self.collection))
        self._run(lambda: self.search(row))

    def _answer_describe(self, row: int) -> None:
        check_rows([row], len(self.collection))
        self._run(lambda: self._describe(row))

    def _answer_pictures(self, rows: list[int]) -> None:
        check_rows(rows, len(self.collection), most=MAX_PICTURES)
        self._newest += 1
        number = self._newest
        self._run(lambda: self._send_pictures(rows, number))

    def _describe(self, row: int) -> None:
        """Send the name of an image, its value, and its picture."""
        for made in self._thumbnails[SIDES[1]].get([row]):
            pictures, buffers = as_reply(made)
            absent = "".join(reason for _, reason in pictures.absent)
            self._reply(Description(row, self.collection.names[row], self._shown.describe(row), absent), buffers)

    def _send_pictures(self, rows: list[int], number: int) -> None:
        """Send pictures as they are made, until the page requests others."""
        for made in self._thumbnails[SIDES[0]].get(rows):
            self._reply(*as_reply(made))
            if number != self._newest or self._is_closed:
                return
