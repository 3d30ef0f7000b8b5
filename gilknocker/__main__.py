"""``python -m gilknocker``: see :mod:`gilknocker.cli`."""

from gilknocker.cli import main

if __name__ == "__main__":
    main()
