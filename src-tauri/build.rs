//! Tauri's build step, after making sure that there is a page to show: a build without `cargo xtask web` works and says
//! what is missing when the window opens.

use std::path::Path;

const MISSING: &str = include_str!("../server/src/http/console/missing.html");

fn main() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/index.html");
    if !page.exists() {
        let written = std::fs::create_dir_all(page.parent().expect("the path has a folder"))
            .and_then(|()| std::fs::write(&page, MISSING));
        written.unwrap_or_else(|error| panic!("cannot write {}: {error}", page.display()));
    }
    println!("cargo:rerun-if-changed=../dist");
    tauri_build::build();
}
