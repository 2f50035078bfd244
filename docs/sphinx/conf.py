"""The settings of Sphinx for `make docs`, which writes docs/reference/ from the commands and the docstrings."""

import inspect
import sys
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parents[2]))

project = "Similar images"
extensions = ["sphinx.ext.autodoc", "sphinx_click", "sphinx_markdown_builder"]
root_doc = "python"
add_module_names = False
autoclass_content = "both"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
smartquotes = False  # options keep their two hyphens


def setup(app: Sphinx) -> None:
    app.connect("sphinx-click-process-options", literal_asterisks)
    app.connect("autodoc-skip-member", inherited_from_elsewhere)
    app.connect("autodoc-process-signature", widget_signature)
    app.connect("doctree-resolved", tidy)


def literal_asterisks(app: Sphinx, context: object, lines: list[str]) -> None:
    """Keep the asterisks of file patterns, which would begin emphasis."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def inherited_from_elsewhere(
    app: Sphinx, kind: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """Leave out what a class inherits from another package, such as a widget's traits."""
    function = getattr(member, "fget", getattr(member, "__func__", member))
    if type(member).__name__ == "_tuplegetter" or str(getattr(function, "__module__", None)).startswith(
        "similar_images"
    ):
        return None
    return True


def widget_signature(
    app: Sphinx, kind: str, name: str, thing: object, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Return what a widget's own constructor takes: traitlets' metaclass hides it behind *args and **kwargs."""
    if kind == "class" and "widgets" in thing.__module__:
        parameters = list(inspect.signature(thing.__init__).parameters.values())[1:]
        signature = str(inspect.Signature(parameters)).replace("similar_images.collection.images.", "")
    return signature, returned


def tidy(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Show the options of a command as one list, and small headings as bold text: there would be hundreds of headings."""
    for option in list(doctree.findall(lambda node: isinstance(node, addnodes.desc) and "option" in node["objtype"])):
        if option.parent is None or not isinstance(option.parent, nodes.Element):
            continue
        siblings, at = option.parent, option.parent.index(option)
        name = nodes.paragraph("", "", nodes.literal("", option[0].astext()))
        item = nodes.list_item("", name, *option[1].children)
        before = siblings[at - 1] if at else None
        siblings.remove(option)
        if isinstance(before, nodes.bullet_list):
            before += item
        else:
            siblings.insert(at, nodes.bullet_list("", item))
    for example in list(doctree.findall(nodes.line_block)):
        example.replace_self(nodes.literal_block("", "\n".join(line.astext() for line in example), language="shell"))
    for rubric in list(doctree.findall(nodes.rubric)):
        rubric.replace_self(nodes.paragraph("", "", nodes.strong("", rubric.astext())))
    for alias in list(doctree.findall(lambda node: isinstance(node, nodes.paragraph))):
        if alias.astext().startswith("Alias for field number"):  # of a NamedTuple, which autodoc adds
            alias.parent.remove(alias)
