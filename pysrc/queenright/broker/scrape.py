"""One GET without a credential, of a page that a resource shows to anybody on its network."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from queenright.broker.http import BrokerTarget
from queenright.broker.outcome import NotSent

__all__ = ["get"]


def get(url: str, timeout: float, limit: int) -> tuple[int, bytes]:
    """(status, at most `limit` bytes of the body). No redirect is followed.

    `timeout`: seconds for each wait. Raises TimeoutError, `NotSent` for anything else that is no reply.
    """
    target = BrokerTarget.parse(url.split("?")[0])
    kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    connection = kind(target.host, target.port, timeout=timeout)
    try:
        connection.request("GET", urlsplit(url).path or "/", headers={"Accept-Encoding": "identity"})
        response = connection.getresponse()
        body = response.read(limit)
        if len(body) < limit and response.length:
            raise http.client.IncompleteRead(
                b""
            )  # http.client itself says so only when it reads without a bound
        return response.status, body
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise NotSent(f"{url} does not answer: {type(error).__name__}") from None
    finally:
        connection.close()
