//! The header that is kept is the one that cbindgen makes from the source.
//!
//! `SNAPSHOT_C_HEADER=write cargo test -p snapshot-c --test header` writes it anew.

use std::path::Path;

use cbindgen::{Builder, Config};

/// In the order in which a reader of the header wants them.
const SOURCES: [&str; 11] = [
    "error",
    "report",
    "snapshots",
    "taken",
    "reason",
    "deadline",
    "hooks",
    "attempt",
    "randomness",
    "copies",
    "phases",
];

#[test]
fn the_header_is_what_cbindgen_makes_of_the_source() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config::from_file(package.join("cbindgen.toml")).expect("it is there, and valid");
    let mut builder = Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(package.join("src").join(source).with_extension("rs"));
    }
    let mut made = Vec::new();
    builder
        .generate()
        .expect("the source compiles, so it parses")
        .write(&mut made);
    let made = String::from_utf8(made).expect("the source is UTF-8");
    let place = package.join("include/snapshot.h");
    if std::env::var_os("SNAPSHOT_C_HEADER").is_some() {
        std::fs::write(&place, &made).expect("the header is writable");
    }
    let kept = std::fs::read_to_string(&place).expect("the header is kept");
    assert!(
        made == kept,
        "the header is not made from this source; SNAPSHOT_C_HEADER=write makes it:\n{made}"
    );
}
