"""Turn a run of edge-train into a verified bundle; see `python build/build_bundle.py --help`."""

from edge.cli.build import main

if __name__ == "__main__":
    main()
