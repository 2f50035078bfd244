"""JavaScript and CSS of the widgets, built from js/."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"


def read_bundle(name: str) -> tuple[str, str]:
    """Return the JavaScript and the CSS of a widget.

    They are text, not paths: anywidget would watch a file as long as Python runs, and keep the widget alive.
    """
    script, style = (STATIC / f"{name}{suffix}" for suffix in (".js", ".css"))
    return script.read_text(encoding="utf-8"), style.read_text(encoding="utf-8")
