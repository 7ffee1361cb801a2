"""Parts of bench/run: see bench/README.md."""
