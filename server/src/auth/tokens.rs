//! Tokens in `tokens.json` of the data directory: names, roles and hashes, never the tokens themselves.
//!
//! The file is read again when it changes, so creating and revoking work on a running server. A token holds 256 random bits,
//! so a plain hash of it cannot be searched.

use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use subtle::ConstantTimeEq as _;
use wire::Timestamp;
use wire::status::{Identity, Role};

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenEntry {
    pub name: String,
    pub role: Role,
    pub created: Timestamp,
    /// BLAKE3 of the token, hex.
    pub hash: String,
}

/// Why the tokens cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("cannot {what} the tokens: {source}: {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the tokens cannot be read: {source}: {}", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("there is a token named {0:?} already; revoke it first or choose another name")]
    Exists(String),
    #[error("there is no token named {0:?}; `halo token list` shows those there are")]
    Unknown(String),
    #[error("a token's name has 1 to 64 letters, digits, or any of . _ @ -, got {0:?}")]
    BadName(String),
}

/// The tokens of one data directory.
#[derive(Debug)]
pub struct TokenFile {
    path: PathBuf,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// Time and length of the file when it was read.
    stamp: Option<(SystemTime, u64)>,
    entries: Vec<TokenEntry>,
}

impl TokenFile {
    /// The tokens in `data_dir`; none when there is no file yet.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn open(data_dir: &Path) -> Result<Self, TokenError> {
        let file = Self {
            path: data_dir.join("tokens.json"),
            cache: Mutex::default(),
        };
        file.read()?;
        Ok(file)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// All of them, sorted by name.
    pub fn entries(&self) -> Vec<TokenEntry> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = self.stamp();
        if cache.stamp != stamp {
            match self.read() {
                Ok(entries) => *cache = Cache { stamp, entries },
                // Half-written or damaged: what was known keeps its meaning, except that nobody new gets in.
                Err(error) => tracing::warn!(%error, "keeping the tokens read before"),
            }
        }
        cache.entries.clone()
    }

    /// Whose token this is. Compares with every entry in constant time.
    pub fn find(&self, token: &str) -> Option<Identity> {
        let hash = hash(token);
        let mut found = None;
        for entry in self.entries() {
            if bool::from(entry.hash.as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(Identity {
                    name: entry.name,
                    role: entry.role,
                });
            }
        }
        found
    }

    /// Makes a token and returns it; it cannot be shown again.
    ///
    /// # Errors
    /// If the name is bad or taken, or the file cannot be written.
    pub fn create(&self, name: &str, role: Role, now: Timestamp) -> Result<String, TokenError> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
            return Err(TokenError::BadName(name.to_owned()));
        }
        let mut entries = self.read()?;
        if entries.iter().any(|entry| entry.name == name) {
            return Err(TokenError::Exists(name.to_owned()));
        }
        let secret: [u8; 32] = rand::random();
        let token = format!("halo_{}", blake3::Hash::from(secret).to_hex());
        entries.push(TokenEntry {
            name: name.to_owned(),
            role,
            created: now,
            hash: hash(&token),
        });
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        self.write(&entries)?;
        Ok(token)
    }

    /// Makes a token worthless, at once.
    ///
    /// # Errors
    /// If there is no such token, or the file cannot be written.
    pub fn revoke(&self, name: &str) -> Result<(), TokenError> {
        let mut entries = self.read()?;
        let before = entries.len();
        entries.retain(|entry| entry.name != name);
        if entries.len() == before {
            return Err(TokenError::Unknown(name.to_owned()));
        }
        self.write(&entries)
    }

    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let data = std::fs::metadata(&self.path).ok()?;
        Some((data.modified().ok()?, data.len()))
    }

    fn read(&self) -> Result<Vec<TokenEntry>, TokenError> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.io("read", source)),
        };
        serde_json::from_slice(&bytes).map_err(|source| TokenError::Damaged {
            path: self.path.clone(),
            source,
        })
    }

    /// Replaces the file in one step, readable by its owner alone.
    fn write(&self, entries: &[TokenEntry]) -> Result<(), TokenError> {
        let io = |source| self.io("write", source);
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir).map_err(io)?;
        }
        let next = self.path.with_extension("json.new");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&next).map_err(io)?;
        let text = serde_json::to_vec_pretty(entries).map_err(|source| TokenError::Damaged {
            path: self.path.clone(),
            source,
        })?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(io)?;
        std::fs::rename(&next, &self.path).map_err(io)
    }

    fn io(&self, what: &'static str, source: std::io::Error) -> TokenError {
        TokenError::Io {
            what,
            path: self.path.clone(),
            source,
        }
    }
}

fn hash(token: &str) -> String {
    blake3::hash(token.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_until_it_is_revoked_even_through_another_instance() {
        let dir = tempfile::tempdir().unwrap();
        let server = TokenFile::open(dir.path()).unwrap();
        let command_line = TokenFile::open(dir.path()).unwrap();
        let token = command_line.create("wall", Role::Viewer, Timestamp(1)).unwrap();
        assert_eq!(
            server.find(&token),
            Some(Identity {
                name: "wall".into(),
                role: Role::Viewer
            })
        );
        assert_eq!(server.find("halo_"), None);
        let text = std::fs::read_to_string(dir.path().join("tokens.json")).unwrap();
        assert!(!text.contains(&token), "the token itself must not be stored");
        command_line.revoke("wall").unwrap();
        assert_eq!(server.find(&token), None);
    }

    #[test]
    fn names_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::open(dir.path()).unwrap();
        file.create("a", Role::Admin, Timestamp(0)).unwrap();
        assert!(matches!(
            file.create("a", Role::Admin, Timestamp(0)),
            Err(TokenError::Exists(_))
        ));
        assert!(matches!(
            file.create("a b", Role::Admin, Timestamp(0)),
            Err(TokenError::BadName(_))
        ));
        assert!(matches!(
            file.create("", Role::Admin, Timestamp(0)),
            Err(TokenError::BadName(_))
        ));
        assert!(matches!(file.revoke("b"), Err(TokenError::Unknown(_))));
    }

    #[test]
    fn damage_is_reported_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tokens.json"), "{").unwrap();
        assert!(matches!(TokenFile::open(dir.path()), Err(TokenError::Damaged { .. })));
    }
}
