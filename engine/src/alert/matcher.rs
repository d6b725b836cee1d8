//! Conditions on labels, as Alertmanager has them: `name="value"`, `!=`, `=~`, `!~`. Regular expressions cover the whole value; a label
//! that is missing has the empty value.

use regex::{Regex, RegexBuilder};
use wire::alert::{Matcher, Pairs};

/// Memory that one compiled expression may take.
const REGEX_BYTES: usize = 1 << 18;

/// Conditions that all must hold, ready to use.
#[derive(Clone, Debug, Default)]
pub struct Matchers(Vec<(Matcher, Option<Regex>)>);

impl Matchers {
    /// Compiles the expressions.
    ///
    /// # Errors
    /// Which matcher has an expression that is none, and why.
    pub fn new(matchers: &[Matcher]) -> Result<Self, String> {
        let compiled = matchers.iter().map(|matcher| {
            let regex = matcher.is_regex.then(|| whole(&matcher.value)).transpose();
            let regex = regex.map_err(|error| format!("matcher {}: {error}", matcher.name))?;
            Ok((matcher.clone(), regex))
        });
        compiled.collect::<Result<_, String>>().map(Self)
    }

    /// Whether all of them hold.
    pub fn hold(&self, labels: &Pairs) -> bool {
        self.0.iter().all(|(matcher, regex)| {
            let value = labels.get(&matcher.name).map_or("", String::as_str);
            holds(matcher, regex.as_ref(), value)
        })
    }

    /// Whether labels without any of the names would be selected: such matchers select everything.
    pub fn hold_of_nothing(&self) -> bool {
        self.hold(&Pairs::new())
    }
}

fn holds(matcher: &Matcher, regex: Option<&Regex>, value: &str) -> bool {
    let same = regex.map_or(matcher.value == value, |regex| regex.is_match(value));
    same == matcher.is_equal
}

/// An expression that must cover the whole text.
pub fn whole(pattern: &str) -> Result<Regex, String> {
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build();
    // By itself first: a stray parenthesis must not close the one around it.
    build(pattern)
        .and_then(|_| build(&format!("^(?:{pattern})$")))
        .map_err(|error| {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!(
                "{pattern:?} is no regular expression: {}",
                last.trim_start_matches("error: ")
            )
        })
}

/// Reads `name="value"` with one of the four operators; the quotes may be missing.
///
/// # Errors
/// What is wrong with it.
pub fn parse_matcher(text: &str) -> Result<Matcher, String> {
    let bad = |problem: &str| format!("{problem} in {text:?}: a matcher looks like severity=\"critical\"");
    let inner = text.trim();
    let at = inner.find(['=', '!']).ok_or_else(|| bad("no operator"))?;
    let (name, rest) = inner.split_at(at);
    let operators = [
        ("=~", true, true),
        ("!~", true, false),
        ("!=", false, false),
        ("=", false, true),
    ];
    let (operator, is_regex, is_equal) = operators
        .into_iter()
        .find(|(operator, ..)| rest.starts_with(operator))
        .ok_or_else(|| bad("no operator"))?;
    let name = unquoted(name.trim()).ok_or_else(|| bad("an open quote"))?;
    if name.is_empty() {
        return Err(bad("no label"));
    }
    let value = unquoted(rest[operator.len()..].trim()).ok_or_else(|| bad("an open quote"))?;
    Ok(Matcher {
        name,
        value,
        is_regex,
        is_equal,
    })
}

/// The text itself, or what stands between quotes with its escapes resolved.
fn unquoted(text: &str) -> Option<String> {
    let Some(inner) = text.strip_prefix('"') else {
        return Some(text.to_owned());
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(out),
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                escaped @ ('"' | '\\') => out.push(escaped),
                other => out.extend(['\\', other]),
            },
            plain => out.push(plain),
        }
    }
}
