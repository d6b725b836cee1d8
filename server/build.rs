//! Makes sure that the console's folder exists, so that a build without `cargo xtask web` works and says what is missing
//! when it is opened.

use std::path::Path;

fn main() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist");
    std::fs::create_dir_all(&dist).unwrap_or_else(|error| panic!("cannot create {}: {error}", dist.display()));
    println!("cargo:rerun-if-changed=../dist");
}
