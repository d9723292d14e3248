"""What runs inside a cell: scheduling, mailboxes, messages, sealing."""

__all__: list[str] = []
