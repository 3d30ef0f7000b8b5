"""Extras are frozen where the program itself imports them, not because a notebook would show them.

All modules of ours that a program may need are found by their import statements.
"""

excludedimports = ["IPython", "matplotlib", "pandas"]
