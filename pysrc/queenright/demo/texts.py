"""The two documents of the demo, filled in: what the swarm may do, and what its resources really are."""

from __future__ import annotations

import json
from importlib.resources import files
from string import Template

from queenright.demo.shop.deploy import PROCESSES, Shop

__all__ = ["MAX_AGENTS", "intent_text", "resources_text"]

MAX_AGENTS = 60  # the intent's cap: a severe fault gets some forty-seven


def _template(name: str) -> Template:
    return Template((files("queenright.demo") / name).read_text(encoding="utf-8"))


def intent_text(answer_within: str) -> str:
    """The intent as TOML. `answer_within`: how long a person has, such as `5m`."""
    return _template("intent.toml").substitute(agents=MAX_AGENTS, answer_within=answer_within)


def resources_text(shop: Shop) -> str:
    """The resources of this shop as TOML."""
    facts: dict[str, object] = {"root": shop.root}
    for process in PROCESSES:
        facts[process] = shop.ports[process]
        facts[f"{process}_start"] = json.dumps(shop.start(process))  # an array of strings is the same in both
    return _template("resources.toml").substitute(facts)
