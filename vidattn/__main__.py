"""`python -m vidattn` is `vidattn`."""

from vidattn.cli import main

main()
