"""``python -m quire``: the same as the ``quire`` command."""

from quire.cli import main

main()
