"""The version of fastmlp that is installed."""

import functools
from importlib import metadata


@functools.cache
def version() -> str:
    """As in the package's metadata; "unknown" where fastmlp runs from a source tree that is not installed."""
    try:
        return metadata.version("fastmlp")
    except metadata.PackageNotFoundError:
        return "unknown"
