"""URLs as they are given: split, or refused without showing them, for they may hold a password."""

from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from qt_events.errors import InvalidUrlError


def split(url: object, schemes: Collection[str], advice: str) -> SplitResult:
    """The parts of a URL with a host, of one of these schemes.

    A password with a bare / ? # in it ends the host too early, so that its rest is taken for a path or a query, which
    may be shown: the @ that then stands behind the host tells.

    Raises:
        InvalidUrlError: it is none; with `advice` as its text, and nothing of the URL in it nor in what led to it.
    """
    parts = _parts(url)
    if (
        parts is None
        or parts.scheme not in schemes
        or parts.fragment
        or "@" in f"{parts.path}{parts.query}"
    ):
        raise InvalidUrlError(advice)
    return parts


def _parts(url: object) -> SplitResult | None:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        return parts if parts is not None and parts.hostname and parts.port != 0 else None
    except ValueError:  # raised from here, ours would have it as its context, and its text shows what it stumbled over
        return None
