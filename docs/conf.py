from __future__ import annotations

import sklearn_diffusion

project = "sklearn_diffusion"
author = "sklearn_diffusion developers"
copyright = f"2026, {author}"
release = version = sklearn_diffusion.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build"]

# The reference lists what each subpackage's __all__ lists.
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
# A name that the package itself exports is described there, and not again in its subpackage.
autosummary_context = {"top_level": sklearn_diffusion.__all__}
autodoc_typehints = "none"
# The class template lists the members once; numpydoc would list them a second time.
numpydoc_show_class_members = False
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "ignore_pattern": r"demo\w*\.py",
    "abort_on_example_error": True,
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = project
html_show_sourcelink = False
