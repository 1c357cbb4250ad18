"""How somebody's loss is called: its arguments, the shapes that it takes, the numbers that it is given."""
