"""The SRE swarm of the demo: a behaviour package that heals a service by rules, without a model.

It runs in cells and imports only `queenright.agent` and the standard library. The modules from `measure` to
`hypotheses` are pure: numbers and lines in, decisions out. Nobody tells the swarm that something is wrong,
and nothing it reads can choose what it does: logs and metrics are evidence for one of a few known
hypotheses, whose remedies come from the intent.
"""

from .commander import Commander
from .investigators import LogAgent, MetricAgent
from .remedy import Remedy
from .watcher import Watcher

__all__ = ["Commander", "LogAgent", "MetricAgent", "Remedy", "Watcher"]
