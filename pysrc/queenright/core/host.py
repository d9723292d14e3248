"""The supervisor's own: the store, the grant tree, restricting oneself."""

from queenright._core.host import Refused, Store

__all__ = ["Refused", "Store"]
