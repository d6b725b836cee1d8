//! What a file may hold: its length and size, its colors, its promises, its paths.

use super::{Finding, Rule, Source, code_with};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "length",
        sentence: "A file holds one idea in at most 500 lines before its unit tests, or says why it is longer in a line `// Long because: ...` \
                   near its top.",
        check: length,
    },
    Rule {
        name: "size",
        sentence: "A tracked file is at most 1 MB: larger data is fetched or made, not kept in git.",
        check: size,
    },
    Rule {
        name: "colors",
        sentence: "Colors are named in app/style/token.css and nowhere else, so that both themes and the contrast of \
                   each pair are decided in one place.",
        check: colors,
    },
    Rule {
        name: "unfinished",
        sentence: "What is not finished is not in the tree: no unfinished-marker macros and no notes to fix it later.",
        check: unfinished,
    },
    Rule {
        name: "machine-paths",
        sentence: "A file names no folder of one person's machine.",
        check: machine_paths,
    },
    Rule {
        name: "registries",
        sentence: "Lock files name the public registries only, so that anybody can fetch what they lock.",
        check: registries,
    },
];

const MAX_LINES: usize = 500;
const MAX_BYTES: u64 = 1_000_000;

/// How far down the reason for a long file may stand.
const REASON_WITHIN: usize = 40;

fn length(sources: &[Source]) -> Vec<Finding> {
    let written = [".rs", ".css", ".js", ".mjs", ".ts", ".sh", ".rego"];
    let mut findings = Vec::new();
    for source in sources
        .iter()
        .filter(|source| written.iter().any(|suffix| source.path.ends_with(suffix)))
    {
        let lines = source.shipped_lines();
        let has_reason = source
            .text
            .lines()
            .take(REASON_WITHIN)
            .any(|line| line.contains("Long because: "));
        if lines > MAX_LINES && !has_reason {
            findings.push(source.whole(format!("{lines} lines")));
        }
    }
    findings
}

fn size(sources: &[Source]) -> Vec<Finding> {
    let large = sources.iter().filter(|source| source.size_bytes > MAX_BYTES);
    large
        .map(|source| source.whole(format!("{} bytes", source.size_bytes)))
        .collect()
}

fn colors(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources
        .iter()
        .filter(|source| source.is_under(&["app/src", "app/style", "chart/src"]))
    {
        // A snapshot holds what a test drew, in colors of its own.
        if source.path == "app/style/token.css" || source.path.ends_with(".snap") {
            continue;
        }
        let lines: Vec<(usize, &str)> = if source.is_rust() {
            source.code_lines().collect()
        } else {
            source
                .text
                .lines()
                .enumerate()
                .map(|(index, line)| (index + 1, line))
                .collect()
        };
        for (number, line) in lines {
            if let Some(color) = raw_color(line, source.is_rust()) {
                findings.push(source.at(number, format!("`{color}`")));
            }
        }
    }
    findings
}

/// The first color literal of a line: `#rgb`, `#rrggbb` (with alpha too) or a color function over numbers. In Rust only
/// inside a string, where `#[attribute]` and `r#"raw"#` never look like one.
fn raw_color(line: &str, in_rust: bool) -> Option<&str> {
    for (start, _) in line.match_indices('#') {
        let digits = line[start + 1..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let next = line[start + 1 + digits..].bytes().next();
        let ends = next.is_none_or(|byte| !byte.is_ascii_alphanumeric() && byte != b'-' && byte != b'_');
        let quoted = !in_rust || line[..start].contains('"');
        if [3, 4, 6, 8].contains(&digits) && ends && quoted {
            return Some(&line[start..=start + digits]);
        }
    }
    for function in ["rgb(", "rgba(", "hsl(", "hsla(", "oklch(", "RGBColor(", "RGBAColor("] {
        if let Some(start) = line.find(function) {
            let inside = line[start + function.len()..].trim_start();
            if inside.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
                return Some(&line[start..start + function.len()]);
            }
        }
    }
    None
}

fn unfinished(sources: &[Source]) -> Vec<Finding> {
    // Written in halves, or this file would find itself.
    let macros = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("db", "g!("),
    ];
    let notes = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X:")];
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        findings.extend(code_with(source, &macros));
        for (index, line) in source.text.lines().enumerate() {
            if let Some(note) = notes.iter().find(|note| line.contains(**note)) {
                findings.push(source.at(index + 1, format!("`{note}`")));
            }
        }
    }
    findings
}

fn machine_paths(sources: &[Source]) -> Vec<Finding> {
    let folders = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/wo", "rk/"),
        concat!("/Us", "ers/"),
    ];
    let mut findings = Vec::new();
    for source in sources {
        for (index, line) in source.text.lines().enumerate() {
            for folder in folders {
                // Only where a path starts: `engine/src/work/...` and `https://host/home/` are not one.
                let starts = line.match_indices(folder).any(|(at, _)| {
                    !line[..at].bytes().next_back().is_some_and(|byte| {
                        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'_' | b'-' | b'}' | b'$' | b'*')
                    })
                });
                if starts {
                    findings.push(source.at(index + 1, format!("`{folder}`")));
                }
            }
        }
    }
    findings
}

fn registries(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let public: &[&str] = match source.path.rsplit('/').next() {
            Some("Cargo.lock") => &["registry+https://github.com/rust-lang/crates.io-index"],
            Some("package-lock.json") => &["https://registry.npmjs.org/"],
            _ => continue,
        };
        for (index, line) in source.text.lines().enumerate() {
            let line = line.trim_start();
            let names_source = line.starts_with("source = ") || line.starts_with("\"resolved\"");
            if names_source && !public.iter().any(|registry| line.contains(registry)) {
                findings.push(source.at(index + 1, line));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{RULES, raw_color};
    use crate::tidy::tests::check;

    #[test]
    fn a_long_file_needs_a_reason() {
        let long = "x\n".repeat(501);
        check(RULES, "length", &[("engine/src/a.rs", &long)], &["engine/src/a.rs"]);
        check(
            RULES,
            "length",
            &[("engine/src/a.rs", &format!("// Long because: a table.\n{long}"))],
            &[],
        );
        check(
            RULES,
            "length",
            &[("assets/a.csv", &long), ("engine/src/b.rs", &"x\n".repeat(500))],
            &[],
        );
    }

    #[test]
    fn a_large_file_is_found() {
        check(
            RULES,
            "size",
            &[("assets/a.bin", &"x".repeat(1_000_001))],
            &["assets/a.bin"],
        );
    }

    #[test]
    fn a_raw_color_is_found_where_it_is_one() {
        for (line, in_rust, color) in [
            ("color: #fff;", false, Some("#fff")),
            ("color: #1a2b3c80;", false, Some("#1a2b3c80")),
            ("background: rgb(1 2 3)", false, Some("rgb(")),
            ("color: var(--ink)", false, None),
            ("#add-button { }", false, None),
            ("background: rgb(from var(--ink) r g b)", false, None),
            ("let c = \"#abcdef\";", true, Some("#abcdef")),
            ("#[cfg(feature = \"abc\")]", true, None),
            ("RGBColor(10, 20, 30)", true, Some("RGBColor(")),
            ("id=\"a\" href=\"#main\"", true, None),
        ] {
            assert_eq!(raw_color(line, in_rust), color, "{line}");
        }
        check(
            RULES,
            "colors",
            &[("app/style/token.css", "--a: #fff;"), ("docs/a.css", "#fff")],
            &[],
        );
        check(
            RULES,
            "colors",
            &[("app/style/page.css", "a{}\nb{color:#fff}")],
            &["app/style/page.css:2"],
        );
    }

    #[test]
    fn unfinished_work_is_found() {
        let code = ["fn a() { ", "to", "do!() }"].concat();
        check(
            RULES,
            "unfinished",
            &[("engine/src/a.rs", &code)],
            &["engine/src/a.rs:1"],
        );
        let note = ["// ", "FIX", "ME later"].concat();
        check(
            RULES,
            "unfinished",
            &[("engine/src/a.rs", &note)],
            &["engine/src/a.rs:1"],
        );
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        let path = ["see \"/ho", "me/me/halo\""].concat();
        check(RULES, "machine-paths", &[("README.md", &path)], &["README.md:1"]);
        check(
            RULES,
            "machine-paths",
            &[("README.md", "engine/home/src and $HOME/x")],
            &[],
        );
    }

    #[test]
    fn a_lock_file_names_public_registries_only() {
        let private = "\"resolved\": \"https://npm.example.com/a.tgz\"";
        check(
            RULES,
            "registries",
            &[("tests/browser/package-lock.json", private)],
            &["tests/browser/package-lock.json:1"],
        );
        check(
            RULES,
            "registries",
            &[("tests/browser/package-lock.json", "\"integrity\": \"sha512-\"")],
            &[],
        );
    }
}
