"""What crosses a boundary: frames of the cell link, certificates, ids.

Both sides of every boundary use this room, so it knows nothing but `core`, `errors` and `clock`. It promises that what it
decodes is exactly what `encode` would have written: unknown frames, unknown or missing fields, wrong types and
oversize bodies raise `Malformed` and nothing else.
"""
