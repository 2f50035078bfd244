"""The HTML pages: one template per page, `base.html` with the shared styles, `pages.py` to render them."""
