"""The version of fastmlp that is installed, and the version of the bits that it computes."""

import functools
from importlib import metadata

# It rises whenever the same data, settings, seed and net number come to give other bits. Files and surveys have it, and
# docs/promises.md says what follows. A test holds it to the golden hashes (tests/support/golden.json).
BITS_VERSION = 1


@functools.cache
def version() -> str:
    """As in the package's metadata; "unknown" where fastmlp runs from a source tree that is not installed."""
    try:
        return metadata.version("fastmlp")
    except metadata.PackageNotFoundError:
        return "unknown"
