//! The audit chain: each entry carries a hash over itself and the one before, so that no entry can be changed, removed or
//! put in without the rest ceasing to fit.

use wire::Timestamp;
use wire::proposal::AuditEntry;

/// Entries kept in memory; all of them are in the store.
const KEPT: usize = 1000;

/// An append-only chain of blake3 hashes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditChain {
    /// The newest entries, oldest first.
    entries: Vec<AuditEntry>,
    last_seq: u64,
    last_hash: String,
}

impl AuditChain {
    /// Takes a stored chain back in after checking every link.
    ///
    /// # Errors
    /// A sentence that names the first entry that does not fit.
    pub fn restore(entries: Vec<AuditEntry>) -> Result<Self, String> {
        let mut chain = Self::default();
        for entry in entries {
            if entry.seq != chain.last_seq + 1 {
                return Err(format!(
                    "entry {} is missing, entry {} follows entry {}",
                    chain.last_seq + 1,
                    entry.seq,
                    chain.last_seq
                ));
            }
            if entry.hash != link(&chain.last_hash, &entry) {
                return Err(format!(
                    "entry {} does not have the hash of its content: it was changed",
                    entry.seq
                ));
            }
            chain.push(entry);
        }
        Ok(chain)
    }

    /// Adds an entry and returns it.
    pub fn append(&mut self, at: Timestamp, actor: &str, action: &str, subject: &str, detail: &str) -> AuditEntry {
        let mut entry = AuditEntry {
            seq: self.last_seq + 1,
            at,
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: detail.to_owned(),
            hash: String::new(),
        };
        entry.hash = link(&self.last_hash, &entry);
        self.push(entry.clone());
        entry
    }

    /// The newest entries, newest first.
    pub fn tail(&self, limit: usize) -> Vec<AuditEntry> {
        self.entries.iter().rev().take(limit).cloned().collect()
    }

    fn push(&mut self, entry: AuditEntry) {
        self.last_seq = entry.seq;
        self.last_hash.clone_from(&entry.hash);
        self.entries.push(entry);
        if self.entries.len() > 2 * KEPT {
            self.entries.drain(..KEPT);
        }
    }
}

/// Hash over the previous hash and every field, each with its length, so that no two contents read the same.
fn link(previous: &str, entry: &AuditEntry) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&entry.seq.to_le_bytes());
    hasher.update(&entry.at.as_millis().to_le_bytes());
    for field in [previous, &entry.actor, &entry.action, &entry.subject, &entry.detail] {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Vec<AuditEntry> {
        let mut chain = AuditChain::default();
        (0..5)
            .map(|i| chain.append(Timestamp(i), "ada", "approve", &format!("ACT-{i}"), ""))
            .collect()
    }

    #[test]
    fn a_whole_chain_is_taken_back() {
        let entries = chain();
        let restored = AuditChain::restore(entries.clone()).unwrap();
        assert_eq!(restored.tail(2), [entries[4].clone(), entries[3].clone()]);
    }

    #[test]
    fn every_kind_of_tampering_is_found() {
        let mut changed = chain();
        changed[2].actor = "eve".to_owned();
        assert!(AuditChain::restore(changed).unwrap_err().contains("entry 3"));
        let mut removed = chain();
        removed.remove(1);
        assert!(AuditChain::restore(removed).unwrap_err().contains("entry 2 is missing"));
        let mut rehashed = chain();
        rehashed[1].detail = "x".to_owned();
        rehashed[1].hash = link(&rehashed[0].hash, &rehashed[1]);
        assert!(AuditChain::restore(rehashed).unwrap_err().contains("entry 3"));
    }
}
