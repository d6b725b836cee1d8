//! How many different words must have been seen at a place before they are taken for values of one event.
//!
//! `opened` and `closed` are two events, `alice`, `bob` and `carol` are values of one. What tells them apart is how many there
//! are, what they look like, and what stands around them.

use super::Template;

/// Words by default: states come in fewer.
const WORDS: usize = 6;
/// In capitals: enumerations, whose members are states.
const CAPITALS: usize = 12;
/// After a key: `key=`, or `"key":` as in JSON.
const KEYED: usize = 4;
/// After a word that a name may follow, and in quotes.
const NAMED: usize = 3;
/// After a word that calls for a name.
const CALLED: usize = 2;
/// With a `.`, `@`, `/` or `$` inside.
const NAMES: usize = 3;
/// Words beside a value: that one proves that values stand here.
const BESIDE_VALUE: usize = 3;
/// The same where the words look like names.
const NAMES_BESIDE_VALUE: usize = 2;

/// What `members`, which differ at `place` alone, must number to be one. `None`: never, however many.
pub(super) fn needed(members: &[&Template], place: usize) -> Option<usize> {
    let first = members.first()?;
    let words = || {
        members
            .iter()
            .map(|member| &member.pieces[place])
            .filter(|piece| !piece.is_value)
    };
    let texts = || words().map(|piece| &*piece.text);
    // The two states there are.
    if texts().any(|text| text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")) {
        return None;
    }
    let others = first.pieces.iter().enumerate();
    let rest = others
        .filter(|(other, piece)| *other != place && piece.is_word())
        .count();
    // The less else a line says, the more does this word.
    let mut needed = match rest {
        0 => return None,
        1 => 3 * WORDS,
        2 => 2 * WORDS,
        _ => WORDS,
    };
    let is_capital = |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let are_capital = texts().all(is_capital);
    let are_names = texts().all(is_name);
    if are_capital {
        needed = needed.max(CAPITALS);
    }
    if are_names {
        needed = needed.min(NAMES);
    }
    let glue = first.pieces[place].glue.trim_end();
    let is_keyed = glue.ends_with('=') || glue.contains("\":");
    let is_quoted = !is_keyed && glue.ends_with(['"', '\'']);
    if is_keyed {
        needed = needed.min(KEYED);
    }
    if !are_capital {
        let before = place.checked_sub(1).and_then(|before| first.pieces.get(before));
        let named = before.and_then(|before| names_after(&before.text));
        needed = needed.min(named.unwrap_or(needed));
        if is_quoted {
            needed = needed.min(NAMED);
        }
    }
    if words().count() < members.len() {
        let beside = if are_names || is_quoted {
            NAMES_BESIDE_VALUE
        } else {
            BESIDE_VALUE
        };
        needed = needed.min(beside);
    }
    Some(needed)
}

fn is_name(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'.' | b'@' | b'/' | b'$'))
}

/// What must be seen after a word that names follow in any program's English.
fn names_after(before: &str) -> Option<usize> {
    const MAY: [&str; 4] = ["for", "from", "by", "via"];
    const CALL: [&str; 4] = ["user", "host", "client", "named"];
    let is_in = |words: [&str; 4]| words.iter().any(|own| before.eq_ignore_ascii_case(own));
    if is_in(CALL) {
        Some(CALLED)
    } else {
        is_in(MAY).then_some(NAMED)
    }
}
