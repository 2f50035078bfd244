"""Why a hit is similar: the query and the hit with their heat maps."""

import io

from PIL import Image

from similar_images.collection.explanation import HeatMap
from similar_images.collection.images import Collection
from similar_images.collection.session import QueryState, SearchSession
from similar_images.inputs import images
from similar_images.widgets.replies import Explanation

SIDE = 800  # pixels; the longer one of the pictures
PLACES = (("upper left", "top", "upper right"), ("left", "middle", "right"), ("lower left", "bottom", "lower right"))


def explain(session: SearchSession, state: QueryState, number: int, row: int) -> tuple[Explanation, list[bytes]]:
    """Return the comparison of a query with a hit, and JPEGs of both; only the hit if the query has no image.

    Raises as Collection.explain does.
    """
    collection = session.collection
    if not isinstance(collection, Collection):
        raise ValueError("expected images, got texts")
    own = session.query_picture(state)
    explanation = collection.explain(state.query if own is None else own, row)
    name, hit = collection.names[row], images.open_image(collection.image(row), side=SIDE)
    pictures, alts, places = [], [], []
    for role, title, image, heat in (
        ("Query", state.name, own, explanation.query),
        ("Hit", name, hit, explanation.hit),
    ):
        if image is not None and heat is not None:
            image.thumbnail((SIDE, SIDE))
            place = _hottest_place(heat, image)
            pictures.append(_jpeg(heat.over(image)))
            alts.append(f"{role} {title}, with a heat map: most alike in the {place}")
            places.append(f"the {place} of the {role.lower()}")
    return Explanation(number, row, name, f"most alike: {' and '.join(places)}", alts), pictures


def _hottest_place(heat: HeatMap, image: Image.Image) -> str:
    """Return the hottest place of an image in words."""
    x, y = heat.peak(*image.size)
    return PLACES[min(2, int(3 * y / image.height))][min(2, int(3 * x / image.width))]


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
