//! One program at a time in a data directory. The system lets go of the lock when the program ends, however it ends.

use anyhow::{Context as _, Result, bail};
use std::fs::{File, TryLockError};
use std::path::Path;

/// Held as long as the data directory is used.
#[derive(Debug)]
pub(crate) struct DataLock(#[expect(dead_code, reason = "held, not read")] File);

impl DataLock {
    /// Takes the lock of a data directory, which is made if it is missing.
    ///
    /// # Errors
    /// If another program has it, or the folder cannot be written.
    pub(crate) fn take(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("halo.lock");
        let failed = || format!("the data directory cannot be used: {}", path.display());
        std::fs::create_dir_all(data_dir).with_context(failed)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "another Halo uses this data directory; stop it first: {}",
                    data_dir.display()
                )
            }
            // A file system without locks: then nobody can be kept out.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, "the data directory cannot be locked against a second program");
                Ok(Self(file))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DataLock;

    #[test]
    fn the_second_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataLock::take(dir.path()).unwrap();
        let refused = DataLock::take(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("another Halo"), "{refused}");
        drop(first);
        assert!(DataLock::take(dir.path()).is_ok());
    }
}
