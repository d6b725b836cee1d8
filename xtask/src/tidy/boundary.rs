//! Who may depend on whom, read from the manifests, and the order of the stages, read from their `use` lines.

use std::collections::BTreeSet;

use super::{Finding, Rule, Source};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "boundaries",
        sentence: "wire and chart know nothing above them: wire <- nothing of ours; chart, engine, sim <- wire; \
                   server <- engine, wire, sim; desktop <- engine, wire, server; app <- wire, chart.",
        check: boundaries,
    },
    Rule {
        name: "console-crates",
        sentence: "What runs in a browser knows no runtime, database, socket or engine crate: wire, chart and app stay \
                   free of tokio, sqlx, reqwest, axum and candle.",
        check: console_crates,
    },
    Rule {
        name: "stage-order",
        sentence: "A stage takes its predecessor's output and never reaches forward; pipeline.rs alone knows them all.",
        check: stage_order,
    },
];

/// Crate, folder, and the crates of ours it may depend on; what its tests may use besides.
const TABLE: [(&str, &str, &[&str], &[&str]); 10] = [
    ("wire", "wire", &[], &[]),
    ("chart", "chart", &["wire"], &[]),
    ("engine", "engine", &["wire"], &["sim"]),
    ("sim", "sim", &["wire"], &[]),
    ("server", "server", &["engine", "wire", "sim"], &[]),
    ("desktop", "src-tauri", &["engine", "wire", "server"], &["tests"]),
    ("app", "app", &["wire", "chart"], &[]),
    (
        "tests",
        "tests",
        &["engine", "wire", "server", "sim", "chart"],
        &["desktop"],
    ),
    ("xtask", "xtask", &[], &[]),
    ("fuzz", "fuzz", &["engine", "wire"], &[]),
];

const NATIVE_ONLY: [&str; 7] = [
    "tokio",
    "sqlx",
    "reqwest",
    "axum",
    "candle-core",
    "candle-nn",
    "sysinfo",
];

/// The loop, in order.
const STAGES: [&str; 8] = [
    "ingest",
    "features",
    "detect",
    "correlate",
    "predict",
    "decide",
    "act",
    "learn",
];

fn boundaries(sources: &[Source]) -> Vec<Finding> {
    let ours: BTreeSet<&str> = TABLE.iter().map(|(name, ..)| *name).collect();
    let mut findings = Vec::new();
    for source in manifests(sources) {
        let folder = source.path.trim_end_matches("/Cargo.toml");
        let Some((name, _, allowed, in_tests)) = TABLE.iter().find(|(_, place, ..)| *place == folder) else {
            findings.push(source.whole("a crate that the table of boundaries does not name"));
            continue;
        };
        for (kind, dependency) in dependencies(source) {
            let permitted = allowed.contains(&dependency.as_str())
                || (kind == "dev-dependencies" && in_tests.contains(&dependency.as_str()));
            if ours.contains(dependency.as_str()) && !permitted {
                findings.push(source.whole(format!("{name} depends on {dependency}")));
            }
        }
    }
    findings
}

fn console_crates(sources: &[Source]) -> Vec<Finding> {
    let in_browser = ["wire/Cargo.toml", "chart/Cargo.toml", "app/Cargo.toml"];
    let mut findings = Vec::new();
    for source in manifests(sources).filter(|source| in_browser.contains(&source.path.as_str())) {
        for (_, dependency) in dependencies(source) {
            if NATIVE_ONLY.contains(&dependency.as_str()) {
                findings.push(source.whole(format!("depends on {dependency}")));
            }
        }
    }
    findings
}

fn stage_order(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, stage) in STAGES.iter().enumerate() {
        let place = format!("engine/src/{stage}");
        for source in sources
            .iter()
            .filter(|source| source.is_rust() && source.is_under(&[&place]))
        {
            for (number, line) in source.code_lines() {
                for later in &STAGES[index + 1..] {
                    if line.contains(&format!("crate::{later}::")) || line.contains(&format!("use crate::{later};")) {
                        findings.push(source.at(number, format!("{stage} reaches forward to {later}")));
                    }
                }
            }
        }
    }
    findings
}

fn manifests(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| source.path.ends_with("/Cargo.toml"))
}

/// Every dependency with the table it stands in. An unreadable manifest has none: cargo itself says so.
fn dependencies(source: &Source) -> Vec<(String, String)> {
    let Ok(manifest) = source.text.parse::<toml::Table>() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut visit = |table: &toml::Table| {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            if let Some(names) = table.get(kind).and_then(toml::Value::as_table) {
                found.extend(names.keys().map(|name| (kind.to_owned(), name.clone())));
            }
        }
    };
    visit(&manifest);
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        targets.values().filter_map(toml::Value::as_table).for_each(visit);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::RULES;
    use crate::tidy::tests::check;

    #[test]
    fn a_forbidden_dependency_of_ours_is_found_in_every_table() {
        let rule = "boundaries";
        check(
            RULES,
            rule,
            &[("app/Cargo.toml", "[dependencies]\nwire.workspace = true\nserde = '1'")],
            &[],
        );
        check(
            RULES,
            rule,
            &[("app/Cargo.toml", "[dependencies]\nengine.workspace = true")],
            &["app/Cargo.toml"],
        );
        check(
            RULES,
            rule,
            &[("wire/Cargo.toml", "[dev-dependencies]\nsim.workspace = true")],
            &["wire/Cargo.toml"],
        );
        check(
            RULES,
            rule,
            &[("engine/Cargo.toml", "[dev-dependencies]\nsim.workspace = true")],
            &[],
        );
        check(
            RULES,
            rule,
            &[("engine/Cargo.toml", "[dependencies]\nsim.workspace = true")],
            &["engine/Cargo.toml"],
        );
        let conditional = "[target.'cfg(unix)'.dependencies]\nserver.workspace = true";
        check(
            RULES,
            rule,
            &[("engine/Cargo.toml", conditional)],
            &["engine/Cargo.toml"],
        );
        check(RULES, rule, &[("extra/Cargo.toml", "")], &["extra/Cargo.toml"]);
    }

    #[test]
    fn the_console_takes_no_native_crate() {
        check(
            RULES,
            "console-crates",
            &[("app/Cargo.toml", "[dependencies]\ntokio = '1'")],
            &["app/Cargo.toml"],
        );
        check(
            RULES,
            "console-crates",
            &[("server/Cargo.toml", "[dependencies]\ntokio = '1'")],
            &[],
        );
    }

    #[test]
    fn a_stage_that_reaches_forward_is_found() {
        let forward = [("engine/src/detect/vote.rs", "use crate::correlate::Correlator;")];
        check(RULES, "stage-order", &forward, &["engine/src/detect/vote.rs:1"]);
        check(
            RULES,
            "stage-order",
            &[("engine/src/correlate.rs", "use crate::detect::Detection;")],
            &[],
        );
        check(
            RULES,
            "stage-order",
            &[("engine/src/pipeline.rs", "use crate::act::execute;")],
            &[],
        );
    }
}
