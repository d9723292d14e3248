"""`python -m queenright`: the same as the `queenright` command."""

from queenright.cli import main

if __name__ == "__main__":
    main()
