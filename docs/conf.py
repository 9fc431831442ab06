"""How Sphinx builds the documentation: `nox -s docs`."""

import os
import warnings

import fastmlp

os.environ.setdefault("TQDM_DISABLE", "1")
warnings.filterwarnings("ignore", category=UserWarning, message=".*non-interactive.*")

project = "fastmlp"
author = "The fastmlp developers"
copyright = "2026, the fastmlp developers"
release = fastmlp.__version__
version = release.split("+")[0]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_gallery.gen_gallery",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinxcontrib.programoutput",
]
root_doc = "index"
exclude_patterns = ["_build", "jupyter_execute", "**/GALLERY_HEADER.rst", "examples/*.ipynb"]
default_role = "autolink"  # `name` in a docstring is a link, if there is such a name
templates_path = ["_templates"]
html_static_path = ["_static"]

# Reference
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings have the types
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
numpydoc_show_class_members = False
# Parameters and attributes that are named as modules, or have no entry of their own
nitpick_ignore = [("py:obj", name) for name in ("runs", "numbers", "mistakes", "leaky_slope", "seconds")]


def setup(app):
    """Leave out what scikit-learn adds to every estimator, and what its own documentation has."""

    def skip(_app, _what, name, _object, _skip, _options):
        return True if name.endswith("_request") or name == "get_metadata_routing" else None

    app.connect("autodoc-skip-member", skip)


# Pages in Markdown; those with a kernelspec are notebooks
myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Examples
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"regression_tracking",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "plot_gallery": True,
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
    "show_signature": False,
}

# Pages
html_theme = "pydata_sphinx_theme"
html_title = "fastmlp"
html_baseurl = "https://fastmlp.github.io/fastmlp/"
html_show_sourcelink = False
html_css_files = ["site.css"]
html_theme_options = {
    "github_url": "https://github.com/fastmlp/fastmlp",
    "show_prev_next": True,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": ["page-toc"],
}
html_context = {"default_mode": "light"}
html_extra_path = ["../.asv/html-for-site"] if os.path.isdir("../.asv/html-for-site") else []

# asv's own pages, if `asv publish` has made them
myst_substitutions = {
    "asv_pages": '<a href="../asv/index.html">asv\'s own pages</a> show every benchmark and parameter, each commit, '
    "and where a benchmark became slower for good."
    if html_extra_path
    else "`asv publish` makes pages of every benchmark and parameter; they are part of the published documentation."
}
