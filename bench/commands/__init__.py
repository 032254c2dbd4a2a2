"""One file a command; `bench.cli` declares them and imports each only when it is called."""
