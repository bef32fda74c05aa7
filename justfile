# A convenience; nothing depends on it.

# Everything that has to hold before a commit.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test --workspace

# Rewrite transcripts after a deliberate change; read the difference before you commit it.
bless:
    BLESS=1 cargo test -p postern-smtp

# Three instances on this machine, with state in ./postern-data; nothing is sent into the world.
demo:
    cargo run --release -- run

# Side by side with a three-instance Postfix; as root, installs packages.
bench *options:
    bench/run {{options}}

# Licences, advisories, sources and duplicates of the dependencies.
deny:
    cargo deny check

# The largest files.
stats:
    cargo run -q -p xtask -- stats
