"""``python -m gilknocker``: see :mod:`gilknocker.commands.cli`."""

from gilknocker.commands.cli import main

if __name__ == "__main__":
    main()
