from typing import Final

from queenright._core import cell as cell
from queenright._core import host as host
from queenright._core import operator as operator
from queenright._core import shared as shared

VERSION: Final[str]
