"""Speed and memory beside the peers: `python -m benchmarks --help`, explained in docs/benchmarks/README.md."""
