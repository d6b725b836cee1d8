//! Every decoder under a fixed number of mutations of valid messages: the same ones in every run. `cargo xtask fuzz` looks
//! further, guided by coverage.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

#[path = "../../fuzz/src/targets.rs"]
mod targets;

/// Mutations of each decoder.
const MUTATIONS: usize = 3000;

/// No message grows beyond this.
const MOST_BYTES: usize = 4096;

/// Bytes that formats give a meaning to.
const WORDS: &[&[u8]] = &[
    b"\x00",
    b"\xff",
    b"\x80",
    b"\x7f",
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\n",
    b"\"",
    b"{",
    b"[",
    b"}",
    b"]",
    b":",
    b",",
    b"null",
    b"-1",
    b"1e309",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"0.0000001",
    b"NaN",
    b"\\u0000",
    b"\\ud800",
    b"\xf0\x9f\x98\x80",
    b"|c",
    b"|@0",
    b"=",
    b"\\",
    b" ",
];

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }
}

fn mutate(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(6) {
        let at = dice.below(bytes.len() + 1);
        match dice.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = dice.below(256) as u8,
            2 => bytes.truncate(at),
            3 => {
                let to = (at + dice.below(16)).min(bytes.len());
                bytes.drain(at..to);
            }
            4 => {
                let to = (at + dice.below(64)).min(bytes.len());
                let part = bytes[at..to].to_vec();
                let place = dice.below(bytes.len() + 1);
                bytes.splice(place..place, part);
            }
            5 => {
                let other = &seeds[dice.below(seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[dice.below(other.len() + 1)..]);
            }
            6 => {
                let word = WORDS[dice.below(WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
            _ => {
                let word = WORDS[dice.below(WORDS.len())];
                let to = (at + word.len()).min(bytes.len());
                bytes.splice(at..to, word.iter().copied());
            }
        }
    }
    bytes.truncate(MOST_BYTES);
    bytes
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(name);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}; make it by fuzz/seeds.py", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn no_bytes_break_a_decoder() {
    let mut broken = Vec::new();
    for (name, decode) in targets::TARGETS {
        let seeds = seeds(name);
        let mut dice = Dice(name.len() as u64);
        for round in 0..MUTATIONS + seeds.len() {
            let bytes = seeds.get(round).cloned().unwrap_or_else(|| mutate(&seeds, &mut dice));
            if catch_unwind(AssertUnwindSafe(|| decode(&bytes))).is_err() {
                broken.push(format!("{name}: {:?}", String::from_utf8_lossy(&bytes)));
                break;
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}
