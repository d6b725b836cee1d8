//! Versions of trained models: `models/<version>/` in the data directory, each with its manifest, and `models/current`, which
//! names the one in use.
//!
//! A version is written beside its place and then moved there, so it is whole or not there. `current` is replaced by a rename,
//! so a crash leaves the old one or the new one. Without it, the models that the program was built with are in use:
//! [`BUNDLED`]. Nothing is ever deleted here: a version takes about half a megabyte.

use crate::detect::{Models, Training};
use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::Timestamp;

/// What the models of the program itself are called.
pub const BUNDLED: &str = "bundled";
const POINTER: &str = "current";

/// The versions of one data directory.
#[derive(Clone, Debug)]
pub struct ModelStore {
    dir: PathBuf,
}

/// One version, as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub name: String,
    pub is_current: bool,
    /// The version that training began from; `None` for the bundled one.
    pub parent: Option<String>,
    pub training: Option<Training>,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// Models in use.
#[derive(Clone, Debug)]
pub struct Current {
    pub name: String,
    pub models: Arc<Models>,
    /// Why the version that `current` names is not in use.
    pub refused: Option<String>,
}

impl ModelStore {
    /// The versions in `data_dir`, which need not exist yet.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("models"),
        }
    }

    /// What a version trained at `now` is called.
    pub fn name_at(now: Timestamp) -> String {
        jiff::Timestamp::from_millisecond(now.as_millis())
            .map_or_else(|_| now.to_string(), |at| at.strftime("%Y%m%d-%H%M%S").to_string())
    }

    /// The version that `current` names.
    ///
    /// # Errors
    /// [`Error::Io`] if the file is there and cannot be read.
    pub fn current(&self) -> Result<String> {
        let path = self.dir.join(POINTER);
        match fs::read_to_string(&path) {
            Ok(name) => Ok(name.trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BUNDLED.to_owned()),
            Err(error) => Err(Error::io("the version in use cannot be read", path, error)),
        }
    }

    /// The current models; the bundled ones, and why, if the current version cannot be used.
    ///
    /// # Errors
    /// If not even the bundled ones can.
    pub fn load_current(&self) -> Result<Current> {
        let loaded = self.current().and_then(|name| Ok((self.load(&name)?, name)));
        let (models, name, refused) = match loaded {
            Ok((models, name)) => (models, name, None),
            Err(error) => {
                let refused = format!("models in {} refused: {error}", self.dir.display());
                let mut models = Models::bundled()?;
                models.add_note(&refused);
                (models, BUNDLED.to_owned(), Some(refused))
            }
        };
        Ok(Current {
            name,
            models: Arc::new(models),
            refused,
        })
    }

    /// The models of a version, every file checked against its hash.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such version, [`Error::Model`] if a file is not what the manifest says.
    pub fn load(&self, version: &str) -> Result<Models> {
        if version == BUNDLED {
            return Models::bundled();
        }
        let folder = self.folder(version)?;
        let mut files = Vec::new();
        for name in Models::FILES {
            let path = folder.join(name);
            let bytes = fs::read(&path).map_err(|e| {
                Error::io(
                    "a model file cannot be read; `halo models list` names the versions",
                    &path,
                    e,
                )
            })?;
            files.push((name, bytes));
        }
        let borrowed: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        Models::from_files(&borrowed)
    }

    /// Keeps a version. It is not in use by that.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses, or there is a version of that name.
    pub fn write(&self, version: &str, files: &[(String, Vec<u8>)]) -> Result<()> {
        let folder = self.folder(version)?;
        if folder.exists() {
            let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(Error::io("a version of this name is there already", folder, taken));
        }
        let draft = self.dir.join(format!(".{version}"));
        let failed = |error| Error::io("the models cannot be written", &draft, error);
        // What a crash left of an earlier attempt.
        if draft.exists() {
            fs::remove_dir_all(&draft).map_err(failed)?;
        }
        fs::create_dir_all(&draft).map_err(failed)?;
        for (name, bytes) in files {
            let mut file = File::create(draft.join(name)).map_err(failed)?;
            file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        sync_folder(&draft)?;
        fs::rename(&draft, &folder).map_err(failed)?;
        sync_folder(&self.dir)
    }

    /// Puts a version in use, from the next start on, and returns its models.
    ///
    /// # Errors
    /// As [`ModelStore::load`], and [`Error::Io`] if the disk refuses. The version in use is the same then.
    pub fn put_in_use(&self, version: &str) -> Result<Models> {
        let models = self.load(version)?;
        let draft = self.dir.join(format!(".{POINTER}"));
        let failed = |error| Error::io("the version in use cannot be changed", &draft, error);
        fs::create_dir_all(&self.dir).map_err(failed)?;
        let mut file = File::create(&draft).map_err(failed)?;
        writeln!(file, "{version}")
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        fs::rename(&draft, self.dir.join(POINTER)).map_err(failed)?;
        sync_folder(&self.dir)?;
        Ok(models)
    }

    /// The version before the current one: the one that its training began from.
    ///
    /// # Errors
    /// [`Error::Model`] if the bundled models are in use, which have none before them.
    pub fn before_current(&self) -> Result<String> {
        let current = self.current()?;
        if current == BUNDLED {
            let message = "the bundled models are in use, there is nothing before them to go back to".to_owned();
            return Err(Error::Model { name: current, message });
        }
        // A version too damaged to say where it came from came from the bundled one in the end.
        let manifest = self.folder(&current).and_then(|folder| manifest(&folder));
        Ok(manifest
            .ok()
            .and_then(|(parent, _)| parent)
            .unwrap_or_else(|| BUNDLED.to_owned()))
    }

    /// All versions, the bundled one first, then the oldest.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Version>> {
        let current = self.current()?;
        let mut names = Vec::new();
        match fs::read_dir(&self.dir) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry.map_err(|e| Error::io("the versions cannot be read", &self.dir, e))?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    if entry.path().is_dir() && self.folder(&name).is_ok() {
                        names.push(name);
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("the versions cannot be read", &self.dir, error)),
        }
        if current != BUNDLED && !names.contains(&current) {
            names.push(current.clone());
        }
        names.sort();
        names.insert(0, BUNDLED.to_owned());
        let version = |name: String| {
            let about = (name != BUNDLED)
                .then(|| self.folder(&name).and_then(|folder| manifest(&folder)).ok())
                .flatten();
            let (parent, training) = about.unwrap_or_default();
            Version {
                is_current: name == current,
                parent,
                training,
                problem: self.load(&name).err().map(|error| error.to_string()),
                name,
            }
        };
        Ok(names.into_iter().map(version).collect())
    }

    /// Where a version is; an error for a name that is none, lest it lead elsewhere.
    fn folder(&self, version: &str) -> Result<PathBuf> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if version.is_empty() || version.starts_with('.') || !version.chars().all(plain) {
            return Err(Error::Model {
                name: format!("version {version:?}"),
                message: "not a version's name; `halo models list` shows them".to_owned(),
            });
        }
        Ok(self.dir.join(version))
    }
}

/// Parent and history of the version in a folder.
fn manifest(folder: &Path) -> Result<(Option<String>, Option<Training>)> {
    let path = folder.join(Models::MANIFEST);
    let bytes = fs::read(&path).map_err(|e| Error::io("a manifest cannot be read", &path, e))?;
    Models::provenance(&bytes)
}

/// Makes renames in a folder outlive a power cut.
fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|e| Error::io("the folder cannot be synced", folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bundled files under another name of the version.
    fn files(version: &str, parent: &str) -> Vec<(String, Vec<u8>)> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let mut files = Vec::new();
        for name in Models::FILES {
            let mut bytes = fs::read(dir.join(name)).unwrap();
            if name == Models::MANIFEST {
                let text = String::from_utf8(bytes).unwrap();
                let named = |line: &str| match line.starts_with("version") {
                    true => format!("version = \"{version}\"\nparent = \"{parent}\""),
                    false => line.to_owned(),
                };
                bytes = text.lines().map(named).collect::<Vec<_>>().join("\n").into_bytes();
            }
            files.push((name.to_owned(), bytes));
        }
        files
    }

    fn store() -> (tempfile::TempDir, ModelStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = ModelStore::new(dir.path());
        (dir, store)
    }

    #[test]
    fn without_a_version_the_bundled_one_is_in_use() {
        let (_dir, store) = store();
        let current = store.load_current().unwrap();
        assert_eq!((current.name.as_str(), current.refused), (BUNDLED, None));
        assert!(
            store
                .before_current()
                .unwrap_err()
                .to_string()
                .contains("nothing before")
        );
        let list = store.list().unwrap();
        assert!(list.len() == 1 && list[0].is_current && list[0].problem.is_none());
    }

    #[test]
    fn versions_are_kept_put_in_use_and_taken_back() {
        let (_dir, store) = store();
        store
            .write("20260101-000000", &files("20260101-000000", BUNDLED))
            .unwrap();
        store
            .write("20260108-000000", &files("20260108-000000", "20260101-000000"))
            .unwrap();
        assert_eq!(store.current().unwrap(), BUNDLED, "kept is not in use");
        store.put_in_use("20260108-000000").unwrap();
        let current = store.load_current().unwrap();
        assert_eq!(
            (current.name.as_str(), current.models.version()),
            ("20260108-000000", "20260108-000000")
        );
        for before in ["20260101-000000", BUNDLED] {
            assert_eq!(store.before_current().unwrap(), before);
            store.put_in_use(before).unwrap();
        }
        let names: Vec<String> = store.list().unwrap().into_iter().map(|v| v.name).collect();
        assert_eq!(names, [BUNDLED, "20260101-000000", "20260108-000000"]);
        assert!(
            store.write("20260101-000000", &files("x", BUNDLED)).is_err(),
            "a version is never written over"
        );
    }

    #[test]
    fn a_changed_byte_refuses_the_version_loudly_and_the_bundled_one_runs() {
        let (dir, store) = store();
        store.write("a", &files("a", BUNDLED)).unwrap();
        store.put_in_use("a").unwrap();
        let path = dir.path().join("models/a/forest.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
        let current = store.load_current().unwrap();
        let refused = current.refused.unwrap();
        assert!(
            refused.contains("forest.safetensors") && refused.contains("hash"),
            "{refused}"
        );
        assert_eq!(current.name, BUNDLED);
        assert!(
            current.models.describe().iter().all(|m| m.note.contains("refused")),
            "and everybody sees it"
        );
        assert!(store.put_in_use("a").is_err() && store.current().unwrap() == "a");
        assert!(store.list().unwrap()[1].problem.is_some());
        assert_eq!(store.before_current().unwrap(), BUNDLED);
    }

    #[test]
    fn a_version_that_is_gone_and_a_name_that_leads_elsewhere_are_errors() {
        let (dir, store) = store();
        for name in ["../secrets", "", ".a", "a/b", "never-was"] {
            assert!(store.load(name).is_err() && store.put_in_use(name).is_err(), "{name:?}");
        }
        assert!(!dir.path().join("models/current").exists());
        fs::create_dir_all(dir.path().join("models")).unwrap();
        fs::write(dir.path().join("models/current"), "never-was\n").unwrap();
        let current = store.load_current().unwrap();
        assert!(current.name == BUNDLED && current.refused.unwrap().contains("never-was"));
    }

    #[test]
    fn a_version_is_named_by_its_instant() {
        assert_eq!(ModelStore::name_at(Timestamp(1_700_000_000_000)), "20231114-221320");
    }
}
