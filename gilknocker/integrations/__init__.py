"""One file or folder a neighbour: what a program has beside us."""
