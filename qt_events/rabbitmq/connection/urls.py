"""URLs, split or refused. A refusal shows nothing of the URL, because it may hold a password."""

from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from qt_events.errors import InvalidUrlError


def split(url: object, schemes: Collection[str], advice: str) -> SplitResult:
    """Return the parts of a URL with a host, of one of these schemes.

    A password with a bare / ? # in it ends the host too early. Its rest would be taken for a path
    or a query, and might be shown. The @ behind it tells.

    Raises:
        InvalidUrlError: it is none. The text is `advice`; neither it nor its cause shows the URL.
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
    except ValueError:
        # Its text shows a part of the URL. An error raised from here would have it as its context.
        return None
