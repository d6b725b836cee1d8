use super::super::{Config, RawConfig};
use super::*;
use crate::error::Error;
use crate::notify::Target;

fn parse(text: &str) -> NotifyConfig {
    Config::try_from(RawConfig::parse(text).unwrap()).unwrap().notify
}

fn problems(text: &str) -> Vec<String> {
    match Config::try_from(RawConfig::parse(text).unwrap()) {
        Err(Error::Config(problems)) => problems,
        other => panic!("{other:?}"),
    }
}

/// The example at the top of the file is what people copy.
#[test]
fn the_example_is_a_configuration() {
    let source = include_str!("../notify.rs");
    let lines = source.lines().filter_map(|line| line.strip_prefix("//! "));
    let toml: Vec<&str> = lines
        .skip_while(|line| *line != "```toml")
        .skip(1)
        .take_while(|line| *line != "```")
        .collect();
    // The channels that it names without showing them.
    let others: String = ["boss", "pager-ann", "pager-ben"]
        .map(|name| format!("[[notify.channel]]\nname = \"{name}\"\nkind = \"opsgenie\"\nkey_env = \"K\"\n"))
        .concat();
    let config = parse(&format!("{}\n{others}", toml.join("\n")));
    assert_eq!(config.channels.len(), 8);
    assert_eq!(
        (config.wait_ms, config.resolve_wait_ms, config.repeat_ms),
        (15_000, 300_000, 14_400_000)
    );
    let NotifyConfig {
        routes, rotas, teams, ..
    } = &config;
    assert_eq!((routes.len(), rotas.len(), teams.len()), (1, 1, 1));
    assert_eq!(routes[0].escalate[0].after_ms, 900_000);
    assert!(matches!(&config.channel("topic").unwrap().target, Target::Sns { region, .. } if region == "eu-central-1"));
    assert_eq!(
        config.channel("pager").unwrap().target.describe(),
        "https://events.eu.pagerduty.com, key in the environment variable PAGERDUTY_KEY"
    );
}

#[test]
fn without_a_word_nobody_is_told() {
    assert_eq!(parse(""), NotifyConfig::default());
    assert!(parse("").channels.is_empty());
}

#[test]
fn every_problem_says_where_and_what_to_do() {
    let text = r#"
[notify]
link_base = "halo.example"
fallback = ["nobody"]
[[notify.channel]]
name = "a"
kind = "slakc"
[[notify.channel]]
name = "b"
kind = "slack"
[[notify.channel]]
name = "b"
kind = "webhook"
url = "https://user:secret@hooks.example/x"
topic = "x"
[[notify.channel]]
name = "c"
kind = "email"
server = "mail.example:25"
tls = "off"
from = "halo"
to = ["sre@example.com"]
[[notify.channel]]
name = "d"
kind = "pagerduty"
key_env = "K"
title = "{{ sevrity }}"
[[notify.schedule]]
name = "s"
start = "yesterday"
timezone = "Mars/Olympus"
channels = ["e"]
[[notify.schedule]]
name = "s"
start = "2026-01-05T09:00"
channels = ["b"]
[[notify.team]]
name = "t"
entities = []
[[notify.route]]
team = "u"
severities = ["P5"]
to = ["e"]
"#;
    let found = problems(text);
    let expect = [
        "notify.link_base: must start with",
        "notify.channel[0].kind: must be slack",
        "notify.channel[1]: give either url_file or url_env",
        "notify.channel[2].name: \"b\" is another channel already",
        "notify.channel[2].url: holds a user name or password",
        "notify.channel[2].topic: a channel of the kind \"webhook\" has no such field",
        "notify.channel[3].tls: off is for a server on this machine",
        "notify.channel[3]: \"halo\" is no mail address",
        "notify.channel[4].title: undefined value",
        "notify.schedule[0].timezone: no such zone",
        "notify.schedule[0].start: must be a local time",
        "notify.schedule[1].name: \"s\" is a channel or another schedule already",
        "notify.team[0].entities: name at least one",
        "notify.route[0].severities: must be P1, P2, P3 or P4",
        "notify.route[0].team: there is no team \"u\"",
        "notify.route[0].to: there is no channel \"e\"",
        "notify.fallback: there is no channel \"nobody\"",
    ];
    for expected in expect {
        assert!(
            found.iter().any(|problem| problem.starts_with(expected)),
            "{expected}\nis not among\n{}",
            found.join("\n")
        );
    }
    assert!(!found.join("\n").contains("secret@"), "no secret is repeated");
    // Who names a channel that something is wrong with is right to.
    assert!(
        !found.iter().any(|problem| problem.contains("no channel \"b\"")),
        "{found:?}"
    );
}
