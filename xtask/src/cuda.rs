//! `cargo xtask cuda-toolkit` and `cargo xtask cuda`: the compiler and libraries for NVIDIA devices without a system-wide
//! installation, and a `halo` that uses such a device where there is one.
//!
//! candle asks for the CUDA libraries to be linked, and a program so linked does not start where there is no driver. Its
//! binding can also load them when they are first used. That is switched on for the crates that go into the program by a
//! configuration flag, which build scripts, compiled for the host, do not see. What is then left to the linker are names
//! without symbols: empty scripts stand in for the driver, and the CUDA runtime is linked statically.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::setup::{self, SetupArgs};
use crate::shell;

/// Packages of one CUDA release, which the kernels are compiled with; the libraries are of the same major version.
const PACKAGES: [&str; 7] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-nvvm==13.0.*",
    "nvidia-cuda-crt==13.0.*",
    "nvidia-cuda-runtime==13.0.*",
    "nvidia-cuda-cccl==13.0.*",
    "nvidia-cublas==13.*",
    "nvidia-curand==10.*",
];

/// Where the packages put their files below the folder that pip is given.
const ROOT: &str = "nvidia/cu13";

/// Libraries that are looked up by their name without a version.
const LIBRARIES: [&str; 4] = ["libcublas", "libcublasLt", "libcurand", "libnvrtc"];

/// What the linker finds under the names that candle asks for.
const LINK_SCRIPTS: [(&str, &str); 2] = [
    ("libcuda.so", "INPUT ( )\n"),
    ("libcudart.so", "INPUT ( -lcudart_static )\n"),
];

/// Compute capability to compile for where none is named: that of the H100 and H200.
const CAPABILITY: &str = "90";

#[derive(Debug, clap::Args)]
pub(crate) struct ToolkitArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Folder for the compiler and the libraries, about 1.2 GB
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CudaArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Folder that `cargo xtask cuda-toolkit --out` filled
    #[arg(long, value_name = "DIR")]
    toolkit: Option<PathBuf>,
    /// Build without optimization
    #[arg(long)]
    debug: bool,
}

/// Fetches the toolkit and prints what to export for a build by hand.
pub(crate) fn toolkit(args: &ToolkitArgs) -> Result<()> {
    let dir = args.out.clone().unwrap_or_else(default_dir);
    let root = fetch(&dir, args.setup)?;
    println!("The toolkit is in {}. For a build by hand:", dir.display());
    println!("{}", exports(&root));
    println!("A program built with it finds the libraries by");
    println!("export LD_LIBRARY_PATH={}", root.join("lib").display());
    Ok(())
}

/// Builds `halo` for NVIDIA devices and says how to start it.
pub(crate) fn build(args: &CudaArgs) -> Result<()> {
    setup::ensure(setup::BUILD, args.setup)?;
    let root = fetch(&args.toolkit.clone().unwrap_or_else(default_dir), args.setup)?;
    let mut build = cargo("build", &root)?;
    build.args(["--package", "server", "--bin", "halo"]);
    if !args.debug {
        build.arg("--release");
    }
    shell::run(&mut build)?;
    let profile = if args.debug { "debug" } else { "release" };
    let halo = shell::target_dir().join(host()?).join(profile).join("halo");
    println!("Built {}; with the libraries of the toolkit:", halo.display());
    println!(
        "LD_LIBRARY_PATH={} {} doctor",
        root.join("lib").display(),
        halo.display()
    );
    Ok(())
}

/// The tests of the batched path in a build for NVIDIA devices, or why they cannot be built here.
pub(crate) fn test() -> Result<Command, String> {
    let dir = default_dir();
    let root = dir.join(ROOT);
    if !root.join("bin/nvcc").is_file() {
        return Err(format!(
            "no nvcc: `cargo xtask cuda-toolkit` fetches it, about 1.2 GB, into {}",
            dir.display()
        ));
    }
    let test = || -> Result<Command> {
        let root = prepared(&root)?;
        let mut test = cargo("test", &root)?;
        test.env("LD_LIBRARY_PATH", library_path(&root)?);
        test.args(["--package", "engine", "--lib", "--", "--show-output", "detect::device"]);
        Ok(test)
    };
    test().map_err(|error| format!("{error:#}"))
}

fn default_dir() -> PathBuf {
    std::env::var_os("HALO_CUDA_TOOLKIT").map_or_else(|| shell::target_dir().join("cuda-toolkit"), PathBuf::from)
}

/// Fetches what is missing into `dir`; returns the root of the toolkit.
fn fetch(dir: &Path, setup: SetupArgs) -> Result<PathBuf> {
    let root = dir.join(ROOT);
    if !root.join("bin/nvcc").is_file() {
        ensure!(
            !setup.no_setup,
            "no CUDA compiler in {}; by hand: python3 -m pip install --target {} {}",
            dir.display(),
            dir.display(),
            PACKAGES.join(" ")
        );
        ensure!(
            shell::read(shell::command("python3").args(["-m", "pip", "--version"])).is_some(),
            "python3 with pip is needed to fetch the CUDA compiler; by hand: apt-get install python3-pip"
        );
        println!("Installing with pip into {}: {}", dir.display(), PACKAGES.join(", "));
        let mut pip = shell::command("python3");
        pip.args(["-m", "pip", "install", "--upgrade", "--target"])
            .arg(dir)
            .args(PACKAGES);
        shell::run(&mut pip)?;
    }
    prepared(&root)
}

/// Puts headers and libraries where the compiler and the linker look; again is harmless.
fn prepared(root: &Path) -> Result<PathBuf> {
    let root = fs::canonicalize(root).with_context(|| format!("no toolkit in {}", root.display()))?;
    let include = root.join("include");
    merge(&include.join("cccl"), &include)?;
    let lib = root.join("lib");
    let files = names(&lib)?;
    for library in LIBRARIES {
        let Some(file) = versioned(&files, library) else {
            bail!("no {library}.so.N in {}: fetch the toolkit again", lib.display());
        };
        link(Path::new(file), &lib.join(format!("{library}.so")))?;
    }
    link(Path::new("lib"), &root.join("lib64"))?;
    let scripts = lib.join("stubs");
    fs::create_dir_all(&scripts).with_context(|| format!("cannot make {}", scripts.display()))?;
    for (name, text) in LINK_SCRIPTS {
        let path = scripts.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(root)
}

/// `cargo VERB` for the host with the feature `cuda`, the libraries loaded when they are first used.
fn cargo(verb: &str, root: &Path) -> Result<Command> {
    let host = host()?;
    // Given for a named target, the flags reach what goes into the program and no build script.
    let flags = format!(r#"target.{host}.rustflags=["--cfg", "feature=\"dynamic-loading\""]"#);
    let mut build = shell::cargo();
    build
        .args([verb, "--locked", "--features", "cuda", "--target", &host])
        .args(["--config", &flags]);
    for (name, value) in variables(root) {
        build.env(name, value);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(root.join("bin")).chain(std::env::split_paths(&path)))?;
    build.env("PATH", path);
    Ok(build)
}

fn variables(root: &Path) -> Vec<(&'static str, OsString)> {
    let capability = std::env::var_os("CUDA_COMPUTE_CAP").unwrap_or_else(|| CAPABILITY.into());
    let mut variables: Vec<(&str, OsString)> = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"]
        .map(|name| (name, root.as_os_str().to_owned()))
        .to_vec();
    variables.push(("CUDA_COMPUTE_CAP", capability));
    variables
}

fn exports(root: &Path) -> String {
    let mut lines: Vec<String> = variables(root)
        .into_iter()
        .map(|(name, value)| format!("export {name}={}", value.to_string_lossy()))
        .collect();
    lines.push(format!("export PATH={}:$PATH", root.join("bin").display()));
    lines.join("\n")
}

/// The libraries of the toolkit, before those that were looked up anyway.
fn library_path(root: &Path) -> Result<OsString> {
    let before = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let paths = std::iter::once(root.join("lib")).chain(std::env::split_paths(&before));
    Ok(std::env::join_paths(paths.filter(|path| !path.as_os_str().is_empty()))?)
}

/// The target triple of this machine.
fn host() -> Result<String> {
    let version = shell::read(shell::command("rustc").arg("-vV")).context("`rustc -vV` does not run")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut names: Vec<String> = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

/// The file `LIBRARY.so.N` among `files`.
fn versioned<'a>(files: &'a [String], library: &str) -> Option<&'a String> {
    let is_number = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    files.iter().find(|file| {
        let rest = file.strip_prefix(library).and_then(|rest| rest.strip_prefix(".so."));
        rest.is_some_and(is_number)
    })
}

fn link(to: &Path, at: &Path) -> Result<()> {
    if at.symlink_metadata().is_ok() {
        return Ok(());
    }
    symlink(to, at).with_context(|| format!("cannot link {}", at.display()))
}

/// Copies what is in `from` and not in `to`.
fn merge(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for name in names(from)? {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            merge(&from, &to)?;
        } else if !to.exists() {
            fs::copy(&from, &to).with_context(|| format!("cannot copy to {}", to.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_by_its_version_and_not_by_its_cousins() {
        let files = [
            "libcublas.so",
            "libcublasLt.so.13",
            "libcublas.so.13",
            "libnvrtc-builtins.so.13.5",
        ]
        .map(String::from);
        assert_eq!(versioned(&files, "libcublas").unwrap(), "libcublas.so.13");
        assert_eq!(versioned(&files, "libcublasLt").unwrap(), "libcublasLt.so.13");
        assert_eq!(versioned(&files, "libnvrtc"), None);
    }

    #[test]
    fn a_toolkit_is_made_ready_once_and_again() {
        let dir = std::env::temp_dir().join(format!("halo-cuda-{}", std::process::id()));
        let root = dir.join(ROOT);
        fs::create_dir_all(root.join("lib")).unwrap();
        fs::create_dir_all(root.join("include/cccl/cuda")).unwrap();
        fs::write(root.join("include/cccl/cuda/a.h"), "a").unwrap();
        for library in LIBRARIES {
            fs::write(root.join("lib").join(format!("{library}.so.13")), "").unwrap();
        }
        for _ in 0..2 {
            let root = prepared(&root).unwrap();
            assert_eq!(fs::read_to_string(root.join("include/cuda/a.h")).unwrap(), "a");
            assert!(root.join("lib64/libcurand.so").exists() && root.join("lib/stubs/libcuda.so").exists());
        }
        let shown = exports(&root);
        assert!(
            shown.contains("export CUDA_HOME=") && shown.contains("/bin:$PATH"),
            "{shown}"
        );
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn nothing_is_fetched_against_the_will() {
        let nowhere = Path::new("no-such-folder");
        let error = fetch(nowhere, SetupArgs { no_setup: true }).unwrap_err().to_string();
        assert!(
            error.contains("by hand") && error.contains("nvidia-cuda-nvcc"),
            "{error}"
        );
    }
}
