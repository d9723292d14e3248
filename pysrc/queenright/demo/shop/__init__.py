"""A small but real shop: an edge, two workers, a load generator and a fault injector, each its own process.

It is an outside program. It imports nothing of queenright and only the standard library, and queenright
knows it only through `resources.toml`. `deploy` copies it into a directory of its own, where
`python -I DIR/program worker …` runs it. It promises that every fault is real: what the injector does is what
happens in such systems, and the harm shows only in metrics, logs and what the load generator measures.
"""
