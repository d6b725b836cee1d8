//! The desktop window under a virtual display: it opens, bears its title, and the console in it has drawn itself.
//! `cargo xtask test --only desktop` builds what this needs and tells it where it is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::process::{self, Process};

/// A console that shows its engine's state has more than two thousand colors (text, state, charts) in either theme; the empty
/// web view has one, the loading ring in the window's frame some 350, a console that is still connecting some 1,250.
const CONSOLE_COLORS: usize = 1800;

#[tokio::test]
async fn the_window_opens_and_shows_the_console() -> Result<()> {
    let program = process::program("HALO_DESKTOP_BIN")?;
    let folder = tempfile::tempdir()?;
    let display = Display::open(folder.path()).await?;

    // A message bus of its own: the web view asks for one, and a test must not touch the user's.
    let mut command = display.command("dbus-run-session");
    command
        .arg("--")
        .arg(&program)
        .env("HALO_DATA_DIR", folder.path().join("data"))
        .env("XDG_DATA_HOME", folder.path().join("share"))
        .env("XDG_CACHE_HOME", folder.path().join("cache"))
        .env("XDG_CONFIG_HOME", folder.path().join("config"))
        .env("WEBKIT_DISABLE_COMPOSITING_MODE", "1")
        .env("WEBKIT_DISABLE_DMABUF_RENDERER", "1")
        .env("LIBGL_ALWAYS_SOFTWARE", "1");
    let window = Process::start("halo-desktop", &mut command, folder.path())?;

    let shown = check_window(&display).await;
    // The picture is kept either way: it is what a person looks at when this fails.
    let picture = artifacts()?.join("desktop.png");
    display.photograph(&picture)?;
    assert!(
        shown.is_ok(),
        "{:#}\n{}\nsee {}",
        shown.unwrap_err(),
        window.tail(),
        picture.display()
    );
    Ok(())
}

async fn check_window(display: &Display) -> Result<()> {
    let id = process::wait_for("a window called Halo", Duration::from_secs(60), || async {
        let found = display.read("xdotool", &["search", "--onlyvisible", "--name", "Halo"])?;
        Ok(found.lines().next().map(str::to_owned))
    })
    .await?;
    let title = display.read("xdotool", &["getwindowname", &id])?;
    ensure!(title.contains("Halo"), "the title is `{title}`");

    process::wait_for("the console is drawn", Duration::from_secs(60), || async {
        let colors = display.read("import", &["-window", &id, "-format", "%k", "info:"])?;
        let colors: usize = colors.parse().with_context(|| format!("import said `{colors}`"))?;
        ensure!(colors >= CONSOLE_COLORS, "the window has {colors} colors");
        Ok(Some(()))
    })
    .await
}

/// An X server without a screen, and a window manager: without one the window stays invisible.
struct Display {
    name: String,
    _manager: Process,
    _server: Process,
}

impl Display {
    async fn open(folder: &Path) -> Result<Self> {
        // The server picks a free number itself and writes it into this file.
        let chosen = folder.join("display");
        let number_to = File::create(&chosen)?;
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "exec Xvfb -displayfd 3 -screen 0 1440x900x24 -nolisten tcp 3>\"$0\"",
            ])
            .arg(&chosen);
        drop(number_to);
        let server = Process::start("xvfb", &mut command, folder)?;
        let name = process::wait_for("Xvfb chose a display", Duration::from_secs(20), || async {
            let number = fs::read_to_string(&chosen)?;
            Ok(number.ends_with('\n').then(|| format!(":{}", number.trim())))
        })
        .await?;
        let mut openbox = Command::new("openbox");
        openbox.env("DISPLAY", &name);
        let manager = Process::start("openbox", &mut openbox, folder)?;
        Ok(Self {
            name,
            _manager: manager,
            _server: server,
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DISPLAY", &self.name).env_remove("WAYLAND_DISPLAY");
        command
    }

    fn read(&self, program: &str, args: &[&str]) -> Result<String> {
        let output = self
            .command(program)
            .args(args)
            .output()
            .with_context(|| format!("could not start {program}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn photograph(&self, path: &Path) -> Result<()> {
        let status = self.command("import").args(["-window", "root"]).arg(path).status()?;
        ensure!(status.success(), "import ended with {status}");
        Ok(())
    }
}

/// Where pictures go; `cargo xtask test` names the folder.
fn artifacts() -> Result<PathBuf> {
    let folder = std::env::var_os("HALO_ARTIFACTS").map_or_else(std::env::temp_dir, PathBuf::from);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
