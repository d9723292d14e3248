"""`python -m queenright.cli`: the command, where its script is not on the path."""

from queenright.cli import main

if __name__ == "__main__":
    main()
