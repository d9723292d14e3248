"""How fast ours is, as ratios against peers measured in the same sitting. One program a question; see README.md.

`ours.py` and `supervised.py` are the only files that know how a cell or a supervisor is driven; the agents under
`behaviours/` use `queenright.agent` and nothing else. The product never imports anything of here.
"""
