//! What looks like a value whatever program wrote it: the masks.
//!
//! They know forms that all programs share, and no word of any one program.

/// Bits of the class of a byte.
pub(super) const WORD: u8 = 1;
pub(super) const BLANK: u8 = 2;
pub(super) const DIGIT: u8 = 4;
const HEX: u8 = 8;
pub(super) const DOT: u8 = 16;
const SLASH: u8 = 32;
/// What only names of files and accounts have inside: `\` and `@`.
const NAME: u8 = 64;
/// Letters, `_`, and whatever is not ASCII.
const LETTER: u8 = 128;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = match at as u8 {
            b'0'..=b'9' => WORD | DIGIT | HEX,
            b'a'..=b'f' | b'A'..=b'F' => WORD | HEX | LETTER,
            b'g'..=b'z' | b'G'..=b'Z' | b'_' | 128..=255 => WORD | LETTER,
            b'.' => WORD | DOT,
            b'/' => WORD | SLASH,
            b'\\' | b'@' => WORD | NAME,
            b'-' | b'$' | b'%' | b'~' | b'+' => WORD,
            b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c => BLANK,
            _ => 0,
        };
        at += 1;
    }
    table
}

pub(super) fn class(byte: u8) -> u8 {
    CLASS[usize::from(byte)]
}

/// Longest word that is not a value.
const LONGEST_WORD: usize = 64;
/// Hexadecimal numbers without a digit are words when they are shorter.
const HEX_DIGITS: usize = 8;

/// Classes that some, and that all bytes of a word have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Classes {
    pub(super) any: u8,
    pub(super) all: u8,
}

impl Classes {
    fn has(self, class: u8) -> bool {
        self.any & class != 0
    }

    pub(super) fn is_hex(self) -> bool {
        self.all & HEX != 0
    }
}

/// Whether `word` is a value by its form: it has a digit, or is a long hexadecimal number, a path, an address, a qualified name
/// (`a.b.c`, unless it is called), or nothing after a `=`. `before` is the byte before it, `after` the rest of the line.
#[inline]
pub(super) fn is_value(word: &[u8], classes: Classes, before: u8, after: &[u8]) -> bool {
    if classes.has(DIGIT) || word.is_empty() || word.len() > LONGEST_WORD {
        return true;
    }
    if classes.is_hex() && word.len() >= HEX_DIGITS {
        return true;
    }
    if classes.has(DOT | SLASH | NAME) {
        let count = |byte| word.iter().filter(|own| **own == byte).count();
        let is_path = || word[0] == b'/' || count(b'/') >= 2;
        let is_account = classes.has(NAME) && classes.has(LETTER);
        return is_account || (classes.has(SLASH) && is_path()) || is_qualified(classes, count(b'.'), after);
    }
    (before == b'=' && is_nothing(word)) || (word.len() == 3 && is_day(word) && is_dated(after))
}

/// `a.b.c`, but not `a.b.c(`, which is code; a host and its port, `a.b:80`, also with one dot.
fn is_qualified(classes: Classes, dots: usize, after: &[u8]) -> bool {
    let has_number = after.get(1).is_some_and(u8::is_ascii_digit);
    classes.has(LETTER)
        && match after.first() {
            Some(b'(') => dots >= 2 && has_number,
            Some(b':') => dots >= 2 || (dots == 1 && has_number),
            _ => dots >= 2,
        }
}

/// What stands where there is no value.
fn is_nothing(word: &[u8]) -> bool {
    matches!(word, b"null" | b"NULL" | b"nil" | b"none" | b"None" | b"undefined")
}

/// Names of days and months. They are words, too (`Sun`, `May`), unless a date follows.
fn is_day(word: &[u8]) -> bool {
    const DAYS: [&[u8; 3]; 19] = [
        b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun", b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul",
        b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
    ];
    DAYS.iter().any(|day| word == *day)
}

fn is_dated(after: &[u8]) -> bool {
    let is_gap = |byte: &&u8| matches!(**byte, b' ' | b',');
    let gap = after.iter().take_while(is_gap).count();
    let next = &after[gap..];
    gap > 0 && (next.first().is_some_and(u8::is_ascii_digit) || next.get(..3).is_some_and(is_day))
}

/// Units that change with the size of what they measure: `900 B` and `1.2 KB` are values of one event.
pub(super) fn is_unit(word: &[u8]) -> bool {
    const UNITS: [&[u8]; 20] = [
        b"B", b"kB", b"KB", b"MB", b"GB", b"TB", b"KiB", b"MiB", b"GiB", b"TiB", b"ns", b"us", b"ms", b"s", b"sec",
        b"secs", b"min", b"mins", b"h", b"hrs",
    ];
    word.len() <= 4 && UNITS.contains(&word)
}

/// Bytes of ` (1.16 KB)` at the beginning of `after`: the amount before it, said again in another unit.
pub(super) fn said_again(after: &[u8]) -> usize {
    let Some(inner) = after.strip_prefix(b" (") else {
        return 0;
    };
    let is_number = |byte: &&u8| matches!(**byte, b'0'..=b'9' | b'.' | b',');
    let number = inner.iter().take_while(is_number).count();
    let blank = usize::from(inner.get(number) == Some(&b' '));
    let rest = &inner[number + blank..];
    let unit = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let is_amount = number > 0 && is_unit(&rest[..unit]) && rest.get(unit) == Some(&b')');
    if is_amount {
        " (".len() + number + blank + unit + ")".len()
    } else {
        0
    }
}

/// Whether glue between two values makes one of both: lists, times, addresses with ports, and the like.
pub(super) fn joins(glue: &[u8]) -> bool {
    match glue {
        b" " | b"  " | b", " | b"; " => true,
        _ if glue.contains(&b' ') => glue.len() > 3 && glue.iter().all(|byte| matches!(byte, b' ' | b'*')),
        _ => glue.iter().all(|byte| {
            matches!(
                byte,
                b',' | b';' | b'|' | b':' | b'#' | b'=' | b'*' | b'&' | b'^' | b'!'
            )
        }),
    }
}

/// Whether a pair of brackets or quotes with nothing inside begins here.
pub(super) fn is_empty_pair(rest: &[u8]) -> bool {
    matches!(
        rest,
        [b'(', b')', ..] | [b'[', b']', ..] | [b'{', b'}', ..] | [b'"', b'"', ..]
    )
}
