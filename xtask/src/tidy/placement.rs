//! Where time is read, where the outside world is touched, and who may act.

use super::{Finding, Rule, Source, code_with};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "time",
        sentence: "Time is read in clock.rs alone; everything else gets `now` as an argument, so that hours of scenario \
                   run in milliseconds.",
        check: time,
    },
    Rule {
        name: "io",
        sentence: "IO lives in engine's ingest, act, store and notify/send, in server, in src-tauri and in app's transport; the rest \
                   neither opens a file nor a socket.",
        check: io,
    },
    Rule {
        name: "approval",
        sentence: "Nothing acts without an approval: `act::execute` takes an `Approved`, whose fields are private and \
                   which only decide makes.",
        check: approval,
    },
];

/// Crates whose result may not depend on when they run. The server measures how long it took, which is not a result.
const TIMELESS: [&str; 5] = ["wire/src", "chart/src", "engine/src", "sim/src", "app/src"];

const WALL_CLOCK: [&str; 7] = [
    "SystemTime::now",
    "Timestamp::now(",
    "Zoned::now",
    "Utc::now",
    "Local::now",
    "Date::now(",
    "Date::new_0",
];

const STOPWATCH: [&str; 2] = ["Instant::now", "performance()"];

const PRODUCT: [&str; 7] = [
    "wire/src",
    "chart/src",
    "engine/src",
    "sim/src",
    "server/src",
    "src-tauri/src",
    "app/src",
];

const IO_PLACES: [&str; 7] = [
    "engine/src/ingest",
    "engine/src/act",
    "engine/src/store",
    "engine/src/notify/send",
    "server/src",
    "src-tauri/src",
    "app/src/transport",
];

const IO: [&str; 13] = [
    "std::fs",
    "std::net",
    "std::process",
    "tokio::fs",
    "tokio::net",
    "tokio::process",
    "fs::File",
    "reqwest::",
    "sqlx::",
    "gloo_net",
    "EventSource::new",
    "WebSocket::new",
    "fetch_with",
];

fn time(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources
        .iter()
        .filter(|source| source.is_rust() && !source.path.ends_with("/clock.rs"))
    {
        if source.is_under(&PRODUCT) {
            findings.extend(code_with(source, &WALL_CLOCK));
        }
        if source.is_under(&TIMELESS) {
            findings.extend(code_with(source, &STOPWATCH));
        }
    }
    findings
}

fn io(sources: &[Source]) -> Vec<Finding> {
    let product = sources
        .iter()
        .filter(|source| source.is_rust() && source.is_under(&PRODUCT));
    // error.rs gives the drivers' errors a name of ours; it calls nothing.
    let bound = product.filter(|source| !source.is_under(&IO_PLACES) && source.path != "engine/src/error.rs");
    bound.flat_map(|source| code_with(source, &IO)).collect()
}

fn approval(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources
        .iter()
        .filter(|source| source.is_rust() && source.is_under(&["engine/src"]))
    {
        let lines: Vec<(usize, &str)> = source.code_lines().collect();
        for (index, (number, line)) in lines.iter().enumerate() {
            let rest = || lines[index..].iter().map(|(_, line)| *line);
            if source.is_under(&["engine/src/act"])
                && line.contains("fn execute")
                && line.trim_start().starts_with("pub")
            {
                let signature: String = until(rest(), "{");
                if !signature.contains("Approved") {
                    findings.push(source.at(*number, "`execute` without an `Approved`"));
                }
            }
            if line.contains("struct Approved") && until(rest(), "}").lines().skip(1).any(|line| line.contains("pub")) {
                findings.push(source.at(*number, "`Approved` has a field that anybody can set"));
            }
            // `ProposalState::Approved` says that somebody approved; it lets nobody act.
            let makes = line.replace("ProposalState::Approved {", "").contains("Approved {")
                && !line.contains("struct ")
                && !line.contains("impl ");
            if makes && !source.is_under(&["engine/src/decide"]) && !line.contains("fn ") {
                findings.push(source.at(*number, "makes an `Approved` outside decide"));
            }
        }
    }
    findings
}

/// The lines up to and with the first that holds `end`.
fn until<'a>(lines: impl Iterator<Item = &'a str>, end: &str) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(line);
        text.push('\n');
        if line.contains(end) {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::RULES;
    use crate::tidy::tests::check;

    #[test]
    fn time_is_found_outside_the_clock() {
        let read = "let now = Instant::now();";
        check(
            RULES,
            "time",
            &[("engine/src/detect.rs", read)],
            &["engine/src/detect.rs:1"],
        );
        check(
            RULES,
            "time",
            &[("engine/src/clock.rs", read), ("server/src/http.rs", read)],
            &[],
        );
        check(
            RULES,
            "time",
            &[("server/src/http.rs", "SystemTime::now()")],
            &["server/src/http.rs:1"],
        );
        check(
            RULES,
            "time",
            &[("app/src/page/now.rs", "js_sys::Date::now()")],
            &["app/src/page/now.rs:1"],
        );
        check(
            RULES,
            "time",
            &[("engine/src/a.rs", "#[cfg(test)]\nmod tests { Instant::now() }")],
            &[],
        );
    }

    #[test]
    fn io_is_found_outside_its_places() {
        check(
            RULES,
            "io",
            &[("engine/src/correlate/graph.rs", "use std::fs;")],
            &["engine/src/correlate/graph.rs:1"],
        );
        check(
            RULES,
            "io",
            &[
                ("engine/src/store/log.rs", "use std::fs;"),
                ("engine/src/act.rs", "reqwest::Client"),
            ],
            &[],
        );
        check(
            RULES,
            "io",
            &[("app/src/page/now.rs", "gloo_net::http")],
            &["app/src/page/now.rs:1"],
        );
        check(RULES, "io", &[("app/src/transport/http.rs", "gloo_net::http")], &[]);
    }

    #[test]
    fn acting_without_an_approval_is_found() {
        let act = "engine/src/act.rs";
        check(
            RULES,
            "approval",
            &[(act, "pub async fn execute(\n    approved: Approved,\n) -> Outcome {")],
            &[],
        );
        check(
            RULES,
            "approval",
            &[(act, "pub async fn execute(plan: Plan) -> Outcome {")],
            &["engine/src/act.rs:1"],
        );
        let open = "pub struct Approved {\n    pub plan: Plan,\n}";
        check(
            RULES,
            "approval",
            &[("engine/src/decide.rs", open)],
            &["engine/src/decide.rs:1"],
        );
        check(
            RULES,
            "approval",
            &[("engine/src/decide.rs", "pub struct Approved {\n    plan: Plan,\n}")],
            &[],
        );
        check(
            RULES,
            "approval",
            &[("engine/src/pipeline.rs", "let a = Approved { plan };")],
            &["engine/src/pipeline.rs:1"],
        );
    }
}
