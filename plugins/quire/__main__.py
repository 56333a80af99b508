"""Makes ``python -m quire`` run the ``quire`` command."""

from quire.cli.app import main

main()
