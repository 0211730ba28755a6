"""`python -m node` and the console script `standing`."""

from node.cli import main

if __name__ == "__main__":
    main()
