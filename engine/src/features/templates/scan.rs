//! A line as words, some of which are values.
//!
//! One pass over the bytes. A line is a row of *words*, each after its *glue*: the blanks and punctuation before it. Words that
//! are [values](super::values) are masked; values that follow one another are one, so that lists of any length look the same.

use super::hash::{VALUE, fold, glue_at, of_bytes, word_at};
use super::values::{BLANK, Classes, DIGIT, DOT, WORD, class, is_empty_pair, is_unit, is_value, joins, said_again};

/// How far the end of a quoted value is looked for.
const LONGEST_QUOTE: usize = 128;
/// Most hexadecimal digits between the colons of an address.
const ADDRESS_PART: usize = 4;
/// Packed glue: a one before the bytes, so that its length counts.
const NOTHING: u64 = 1;
const ONE_BLANK: u64 = NOTHING << 8 | b' ' as u64;

/// A word of a line, and the glue before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Where in the line its glue begins and ends; the word may begin behind that.
    pub(super) glue: (u32, u32),
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) is_value: bool,
    /// What it adds to the sum of the line.
    pub(super) part: u64,
}

/// A line that was read; kept from line to line for its memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    pub(super) words: Vec<Word>,
    /// The same for lines that look the same.
    pub(super) sum: u64,
    /// Where in the line the glue behind the last word begins and ends.
    pub(super) tail: (u32, u32),
    /// There is more than was read, and it begins with no value.
    pub(super) is_cut: bool,
}

/// Glue, and what is known of the word behind it.
struct Glue {
    hash: u64,
    /// The last bytes of it, packed.
    packed: u64,
    /// Where the value behind it ends, if it is quoted or empty.
    value_end: Option<usize>,
}

impl Scan {
    /// Reads at most `max_bytes` of `line` and `max_words` of its words. O(bytes).
    pub(super) fn read(&mut self, line: &str, max_bytes: usize, max_words: usize) {
        self.words.clear();
        self.is_cut = line.len() > max_bytes;
        let mut bytes = line.as_bytes();
        if self.is_cut {
            bytes = &bytes[..line.floor_char_boundary(max_bytes)];
            // Half a word is none.
            let last_blank = bytes.iter().rposition(|byte| class(*byte) & BLANK != 0);
            bytes = &bytes[..last_blank.unwrap_or(bytes.len())];
        }
        let mut at = 0;
        let mut sum = 0_u64;
        loop {
            let from = at;
            let mut glue = read_glue(bytes, &mut at);
            let is_over = at >= bytes.len() && glue.value_end.is_none();
            if is_over || self.words.len() >= max_words {
                self.is_cut |= !is_over;
                // A value goes on as one.
                self.is_cut &= self.words.last().is_none_or(|last| !last.is_value);
                self.tail = (from as u32, at as u32);
                self.sum = sum.wrapping_add(self.tail_part(&glue));
                return;
            }
            let start = at;
            let before = if start > from { bytes[start - 1] } else { b' ' };
            let classes = read_word(bytes, &mut at, before, glue.value_end);
            let (word, after) = (&bytes[start..at], &bytes[at..]);
            let mut is_value = is_value(word, classes, before, after);
            if let Some(last) = self.words.last_mut().filter(|last| last.is_value) {
                let between = &bytes[from..start];
                is_value |= classes.is_hex() && word.len() <= ADDRESS_PART && matches!(between, b":" | b"::");
                let is_unit = between == b" " && bytes[from - 1].is_ascii_digit() && is_unit(word);
                if is_unit || (is_value && joins(between)) {
                    last.end = at as u32;
                    at += if is_unit { said_again(after) } else { 0 };
                    continue;
                }
            }
            let mut glue_end = start;
            if is_value && matches!(before, b'<' | b'>' | b'~') && is_bound(word, after) {
                glue.packed >>= 8;
                glue_end -= 1;
            }
            let place = self.words.len();
            let part = word_at(if is_value { VALUE } else { of_bytes(word) }, place);
            sum = sum.wrapping_add(part);
            sum = sum.wrapping_add(glue_at(glue.hash ^ glue.packed, place));
            self.words.push(Word {
                glue: (from as u32, glue_end as u32),
                start: start as u32,
                end: at as u32,
                is_value,
                part,
            });
            if word == b"bytes" {
                at += said_again(after);
            }
        }
    }

    fn tail_part(&self, glue: &Glue) -> u64 {
        // Blanks at the end say nothing.
        let is_blank = glue.packed & 0xff == u64::from(b' ');
        let packed = if is_blank { glue.packed >> 8 } else { glue.packed };
        glue_at(glue.hash ^ packed ^ u64::from(self.is_cut) << 63, self.words.len())
    }
}

/// `<1` in `lifetime <1 sec`: the sign is part of the value; in `<1>` it is not.
fn is_bound(word: &[u8], after: &[u8]) -> bool {
    word.first().is_some_and(u8::is_ascii_digit) && after.first() != Some(&b'>')
}

/// Whether the dot at `at` is punctuation: it ends a word, or is one of several.
fn is_pause(bytes: &[u8], at: usize) -> bool {
    let next = bytes.get(at + 1);
    next.is_none_or(|next| *next == b'.' || class(*next) & WORD == 0) || (at > 0 && bytes[at - 1] == b'.')
}

/// Reads up to the next word.
fn read_glue(bytes: &[u8], at: &mut usize) -> Glue {
    let mut glue = Glue {
        hash: 0,
        packed: NOTHING,
        value_end: None,
    };
    // Nearly always.
    if let [b' ', next, ..] = bytes[*at..]
        && *at > 0
        && next != b'.'
        && class(next) & WORD != 0
    {
        *at += 1;
        glue.packed = ONE_BLANK;
        return glue;
    }
    // Blanks at the beginning say nothing, and several are one.
    let mut was_blank = *at == 0;
    while let Some(byte) = bytes.get(*at).copied() {
        let own = class(byte);
        if own & WORD != 0 && !(own & DOT != 0 && is_pause(bytes, *at)) {
            break;
        }
        let is_blank = own & BLANK != 0;
        if !(is_blank && was_blank) {
            if glue.packed >> 56 != 0 {
                glue.hash = fold(glue.hash ^ glue.packed);
                glue.packed = NOTHING;
            }
            glue.packed = glue.packed << 8 | u64::from(if is_blank { b' ' } else { byte });
        }
        was_blank = is_blank;
        *at += 1;
        if own == 0 {
            glue.value_end = value_end(bytes, *at - 1);
            if glue.value_end.is_some() {
                break;
            }
        }
    }
    glue
}

/// Where the value that the byte at `at` opens ends: between brackets or quotes with nothing inside, which are no call, and
/// between quotes after a `=`.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    let before = if at > 0 { bytes[at - 1] } else { b' ' };
    if is_empty_pair(&bytes[at..]) && (matches!(before, b'=' | b':') || class(before) & BLANK != 0) {
        return Some(at + 1);
    }
    if before != b'=' || !matches!(bytes[at], b'"' | b'\'') {
        return None;
    }
    let inner = bytes[at + 1..].iter().take(LONGEST_QUOTE);
    inner
        .clone()
        .position(|byte| *byte == bytes[at])
        .map(|length| at + 1 + length)
}

/// Whether a path that began at `start` goes on with the sign at `at`: `/a*.log`, `/find?by=name`.
fn goes_on(bytes: &[u8], start: usize, at: usize) -> bool {
    if at >= bytes.len() || !matches!(bytes[start], b'/' | b'\\') {
        return false;
    }
    let is_open = bytes
        .get(at + 1)
        .is_some_and(|next| class(*next) & WORD != 0 || *next == b'*');
    is_open && matches!(bytes[at], b'*' | b'?' | b'=' | b'&' | b'#' | b'!')
}

/// Reads a word. After a `=` also what is printed as `Name{...}`.
fn read_word(bytes: &[u8], at: &mut usize, before: u8, value_end: Option<usize>) -> Classes {
    if let Some(end) = value_end {
        *at = end;
        return Classes { any: DIGIT, all: 0 };
    }
    let mut classes = Classes { any: 0, all: u8::MAX };
    let start = *at;
    loop {
        // Most of the time is spent here.
        for byte in &bytes[*at..] {
            let own = class(*byte);
            if own & (WORD | DOT) != WORD {
                break;
            }
            classes.any |= own;
            classes.all &= own;
            *at += 1;
        }
        if bytes.get(*at) == Some(&b'.') && !is_pause(bytes, *at) {
            classes.any |= DOT;
            classes.all &= WORD | DOT;
        } else if !goes_on(bytes, start, *at) {
            break;
        }
        *at += 1;
    }
    if before == b'=' && bytes.get(*at) == Some(&b'{') {
        let inner = bytes[*at..].iter().take(LONGEST_QUOTE);
        let is_end = |byte: &u8| *byte == b'}' || class(*byte) & BLANK != 0;
        let end = inner.clone().position(is_end).map(|length| *at + length);
        if let Some(end) = end.filter(|end| bytes[*end] == b'}') {
            *at = end + 1;
            classes.any |= DIGIT;
        }
    }
    classes
}
