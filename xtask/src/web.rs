//! The console as the browser gets it: WASM, its JavaScript glue, one page, one style sheet, in `dist/`.
//!
//! `app/` gives the sources: `index.html`, `style/*.css` (joined in order of name), `assets/` (copied as it is), and the
//! crate. Files in `dist/` are touched only when their bytes change, because the server embeds them and would be
//! compiled again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;

use crate::setup::{self, SetupArgs};
use crate::shell;

const TARGET: &str = "wasm32-unknown-unknown";

/// What a browser asks for, compressed ahead of time beside the original as `NAME.gz`.
const COMPRESSED: [&str; 5] = ["wasm", "js", "css", "html", "svg"];

#[derive(Debug, clap::Args)]
pub(crate) struct WebArgs {
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
}

/// A compiler that can target WASM on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toolchain {
    /// The Rust in use, with `rustup target add wasm32-unknown-unknown`.
    Rustup,
    /// Debian's `rustc-web`, which compiles the standard library from its sources: for machines whose registry mirror
    /// carries no rustup targets.
    Debian,
}

/// The built console: files by their path inside `dist/`.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Builds the console into `dist/` and says how large its first load is.
pub(crate) fn run(args: &WebArgs) -> Result<()> {
    let toolchain = choose_toolchain(args.setup)?;
    let module = compile(toolchain)?;
    let mut files = bind(&module)?;
    add_page(&shell::root().join("app"), &mut files)?;
    compress(&mut files)?;
    let dist = dist_dir();
    write_changed(&dist, &files)?;
    println!(
        "console: {} files in {}, first load {} KB gzip",
        files.len(),
        dist.display(),
        first_load_bytes()? / 1000
    );
    Ok(())
}

/// Where the console is built to and embedded from.
pub(crate) fn dist_dir() -> PathBuf {
    shell::root().join("dist")
}

/// What the first visit downloads, in bytes: the page, its style, its script and its module, compressed with gzip.
pub(crate) fn first_load_bytes() -> Result<u64> {
    let mut total = 0;
    for name in ["index.html", "app.css", "app.js", "app_bg.wasm"] {
        let path = dist_dir().join(format!("{name}.gz"));
        let found = fs::metadata(&path).with_context(|| format!("{}: run `cargo xtask web` first", path.display()))?;
        total += found.len();
    }
    Ok(total)
}

fn choose_toolchain(setup: SetupArgs) -> Result<Toolchain> {
    let wish = std::env::var("HALO_WASM_TOOLCHAIN").unwrap_or_else(|_| "auto".to_owned());
    match wish.as_str() {
        "debian" => {
            setup::ensure(setup::WASM_DEBIAN, setup)?;
            Ok(Toolchain::Debian)
        }
        "rustup" => {
            if !has_rustup_target() && !add_rustup_target(setup)? {
                bail!("rustup could not add {TARGET}; HALO_WASM_TOOLCHAIN=debian builds without it");
            }
            Ok(Toolchain::Rustup)
        }
        "auto" if has_rustup_target() => Ok(Toolchain::Rustup),
        "auto" if setup::missing(setup::WASM_DEBIAN).is_empty() => Ok(Toolchain::Debian),
        "auto" if add_rustup_target(setup)? => Ok(Toolchain::Rustup),
        "auto" => {
            println!("rustup has no {TARGET} to offer here; using Debian's compiler instead");
            setup::ensure(setup::WASM_DEBIAN, setup)?;
            Ok(Toolchain::Debian)
        }
        other => bail!("HALO_WASM_TOOLCHAIN is `{other}`; it may be rustup, debian or auto"),
    }
}

fn has_rustup_target() -> bool {
    let sysroot = shell::read(shell::command("rustc").args(["--print", "sysroot"]));
    sysroot.is_some_and(|sysroot| {
        Path::new(&sysroot)
            .join("lib/rustlib")
            .join(TARGET)
            .join("lib")
            .is_dir()
    })
}

/// Whether rustup is there, may be used, and could add the target.
fn add_rustup_target(setup: SetupArgs) -> Result<bool> {
    if setup.no_setup || !shell::has_program("rustup") {
        return Ok(false);
    }
    println!("Installing with rustup: the standard library for {TARGET}, to compile the console");
    let status = shell::command("rustup")
        .args(["target", "add", TARGET])
        .status()
        .context("could not start rustup")?;
    Ok(status.success() && has_rustup_target())
}

/// Compiles `app` and returns the path of its raw module.
fn compile(toolchain: Toolchain) -> Result<PathBuf> {
    let (mut cargo, folder) = match toolchain {
        Toolchain::Rustup => (shell::cargo(), "wasm-rustup"),
        Toolchain::Debian => (debian_cargo(), "wasm-debian"),
    };
    // A folder of its own: another compiler, other flags, and no wait for the lock of a native build.
    let target_dir = shell::target_dir().join(folder);
    cargo.env("CARGO_TARGET_DIR", &target_dir);
    // Leptos gives every view one type instead of a type of its own: a seventh less to download.
    cargo.env(
        "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
        "--cfg erase_components",
    );
    cargo.args([
        "build",
        "--package",
        "app",
        "--profile",
        "wasm",
        "--locked",
        "--target",
        TARGET,
    ]);
    if toolchain == Toolchain::Debian {
        cargo.args(["-Z", "build-std=std,panic_abort"]);
    }
    shell::run(&mut cargo)?;
    Ok(target_dir.join(TARGET).join("wasm").join("app.wasm"))
}

fn debian_cargo() -> Command {
    let mut cargo = shell::command("/usr/bin/cargo");
    // Cargo and rustup hand their own choices down to what they start; this is another compiler.
    for (name, _) in std::env::vars_os() {
        let inherited = name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "RUSTUP_", "RUSTC"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
                || ["CARGO", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "LD_LIBRARY_PATH"].contains(&name)
        });
        if inherited {
            cargo.env_remove(name);
        }
    }
    cargo
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1") // `-Z build-std` on a stable release; it affects the console alone.
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "/usr/bin/wasm-ld-19");
    cargo
}

/// Generates the JavaScript that loads the module, and the module it loads.
fn bind(module: &Path) -> Result<Files> {
    let out = shell::target_dir().join("wasm-bindgen");
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("could not clear {}", out.display()))?;
    }
    Bindgen::new()
        .input_path(module)
        .out_name("app")
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(&out)
        .with_context(|| format!("could not generate the bindings of {}", module.display()))?;
    let mut files = Files::new();
    read_tree(&out, &out, &mut files)?;
    Ok(files)
}

fn add_page(app: &Path, files: &mut Files) -> Result<()> {
    let page = app.join("index.html");
    files.insert(
        "index.html".into(),
        fs::read(&page).with_context(|| format!("could not read {}", page.display()))?,
    );

    let mut sheets = Files::new();
    read_tree(&app.join("style"), &app.join("style"), &mut sheets)?;
    let style: Vec<u8> = sheets
        .into_values()
        .flat_map(|sheet| [sheet, b"\n".to_vec()].concat())
        .collect();
    files.insert("app.css".into(), style);

    let assets = app.join("assets");
    if assets.is_dir() {
        read_tree(&assets, &assets, files)?;
    }
    Ok(())
}

fn compress(files: &mut Files) -> Result<()> {
    let mut compressed = Files::new();
    for (path, bytes) in files.iter() {
        if path
            .extension()
            .and_then(OsStr::to_str)
            .is_some_and(|extension| COMPRESSED.contains(&extension))
        {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(bytes)?;
            let mut name = path.clone().into_os_string();
            name.push(".gz");
            compressed.insert(name.into(), encoder.finish()?);
        }
    }
    files.append(&mut compressed);
    Ok(())
}

/// Makes `dist` hold exactly `files`, touching only what differs.
fn write_changed(dist: &Path, files: &Files) -> Result<()> {
    let mut old = Files::new();
    if dist.is_dir() {
        read_tree(dist, dist, &mut old)?;
    }
    let gone: BTreeSet<&PathBuf> = old.keys().filter(|path| !files.contains_key(*path)).collect();
    for path in gone {
        fs::remove_file(dist.join(path))?;
    }
    for (path, bytes) in files {
        if old.get(path) != Some(bytes) {
            let target = dist.join(path);
            fs::create_dir_all(target.parent().unwrap_or(dist))?;
            fs::write(&target, bytes).with_context(|| format!("could not write {}", target.display()))?;
        }
    }
    Ok(())
}

/// Reads every file under `folder` into `files`, by its path relative to `base`.
fn read_tree(base: &Path, folder: &Path, files: &mut Files) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("could not read the folder {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            read_tree(base, &path, files)?;
        } else {
            let name = path.strip_prefix(base).unwrap_or(&path).to_path_buf();
            files.insert(
                name,
                fs::read(&path).with_context(|| format!("could not read {}", path.display()))?,
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder below the build outputs, removed when the test ends.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("halo-xtask-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_page_joins_styles_in_order_of_name_and_copies_assets() {
        let app = Scratch::new("page");
        for (path, text) in [
            ("index.html", "<html>"),
            ("style/b.css", "b{}"),
            ("style/a.css", "a{}"),
            ("assets/icon/x.svg", "<svg>"),
        ] {
            let path = app.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut files = Files::new();
        add_page(&app.0, &mut files).unwrap();
        assert_eq!(files[Path::new("app.css")], b"a{}\nb{}\n");
        assert_eq!(files[Path::new("icon/x.svg")], b"<svg>");
        compress(&mut files).unwrap();
        assert!(files.contains_key(Path::new("app.css.gz")));
    }

    #[test]
    fn writing_twice_touches_nothing_and_drops_what_is_gone() {
        let dist = Scratch::new("dist");
        let mut files = Files::from([("a.js".into(), b"1".to_vec()), ("b.js".into(), b"2".to_vec())]);
        write_changed(&dist.0, &files).unwrap();
        let before = fs::metadata(dist.0.join("a.js")).unwrap().modified().unwrap();
        files.remove(Path::new("b.js"));
        write_changed(&dist.0, &files).unwrap();
        assert_eq!(fs::metadata(dist.0.join("a.js")).unwrap().modified().unwrap(), before);
        assert!(!dist.0.join("b.js").exists());
    }
}
