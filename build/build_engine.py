"""Build a bundle's engines for this device; see `python build/build_engine.py --help`."""

from edge.cli.build_engine import main

if __name__ == "__main__":
    main()
