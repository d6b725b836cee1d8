//! Files by their names.

use std::path::{Path, PathBuf};

/// The files of a name in whose last part `*` stands for anything, sorted.
pub(super) fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((begin, end)) = name.split_once('*') else {
        return if pattern.is_file() {
            vec![pattern.to_owned()]
        } else {
            Vec::new()
        };
    };
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = std::fs::read_dir(folder.unwrap_or(Path::new("."))) else {
        return Vec::new();
    };
    let is_meant = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end) && path.is_file()
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_meant).collect();
    paths.sort();
    paths
}
