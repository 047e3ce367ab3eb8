"""`python -m fedmeki_bench` is the console script `fedmeki-bench`."""

from fedmeki_bench.cli import main

if __name__ == "__main__":
    main()
