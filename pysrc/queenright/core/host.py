"""The supervisor's own: the store, the grant tree, restricting oneself."""

__all__: list[str] = []
