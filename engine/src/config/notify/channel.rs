//! `[[notify.channel]]`: each kind has fields of its own, and one that belongs to another kind is an error.

use super::super::{SecretPlace, check, is_http};
use super::RawChannel;
use crate::ingest::cloudwatch::poll::CredentialsPlace;
use crate::notify::{Channel, MailServer, MailTls, Target, Template, Url};
use std::path::PathBuf;

pub(super) fn channel(raw: RawChannel, place: &str, problems: &mut Vec<String>) -> Option<Channel> {
    let before = problems.len();
    let template = Template {
        title: raw.title.clone(),
        text: raw.text.clone(),
    };
    for (field, problem) in template.problems() {
        problems.push(format!("{place}.{field}: {problem}"));
    }
    let name = raw.name.clone();
    let max_per_hour = raw.max_per_hour.unwrap_or(60);
    check(problems, max_per_hour > 0, || {
        format!("{place}.max_per_hour: must be above 0; a route without `to` tells nobody")
    });
    let target = target(raw, place, problems);
    (problems.len() == before).then_some(Channel {
        name,
        target: target?,
        max_per_hour,
        template,
    })
}

fn target(raw: RawChannel, place: &str, problems: &mut Vec<String>) -> Option<Target> {
    let (given, kind) = (Given::new(&raw), raw.kind.clone());
    if let Some(endpoint) = &raw.endpoint {
        check(problems, is_http(endpoint), || {
            format!("{place}.endpoint: must start with http:// or https://, got {endpoint:?}")
        });
    }
    let endpoint = |usual: &str| {
        let endpoint = raw.endpoint.as_deref().unwrap_or(usual);
        endpoint.trim_end_matches('/').to_owned()
    };
    let (target, fields): (_, &[&str]) = match kind.as_str() {
        "slack" => (
            Target::Slack {
                url: need(place, "url", raw.url_file, raw.url_env, problems)?,
            },
            &["url_file", "url_env"],
        ),
        "teams" => (
            Target::Teams {
                url: need(place, "url", raw.url_file, raw.url_env, problems)?,
            },
            &["url_file", "url_env"],
        ),
        "pagerduty" => (
            Target::Pagerduty {
                endpoint: endpoint("https://events.pagerduty.com"),
                key: need(place, "key", raw.key_file, raw.key_env, problems)?,
            },
            &["key_file", "key_env", "endpoint"],
        ),
        "opsgenie" => (
            Target::Opsgenie {
                endpoint: endpoint("https://api.opsgenie.com"),
                key: need(place, "key", raw.key_file, raw.key_env, problems)?,
            },
            &["key_file", "key_env", "endpoint"],
        ),
        "sns" => {
            let topic = raw.topic.unwrap_or_default();
            let parts: Vec<&str> = topic.split(':').collect();
            let is_topic = parts.len() == 6 && parts[0] == "arn" && parts[2] == "sns" && !parts[3].is_empty();
            check(problems, is_topic, || {
                format!("{place}.topic: must be like arn:aws:sns:eu-central-1:123456789012:name, got {topic:?}")
            });
            let credentials = CredentialsPlace::of(raw.credentials_file, raw.profile);
            let region = parts.get(3).map_or_else(String::new, |region| (*region).to_owned());
            let target = Target::Sns {
                region,
                endpoint: raw.endpoint,
                credentials,
                topic,
            };
            (target, &["topic", "credentials_file", "profile", "endpoint"])
        }
        "email" => {
            let fields = &[
                "server",
                "tls",
                "username",
                "password_file",
                "password_env",
                "from",
                "to",
            ];
            (Target::Email(mail(raw, place, problems)?), fields)
        }
        "webhook" => {
            let url = match raw.url {
                Some(url) => {
                    check(problems, is_http(&url), || {
                        format!("{place}.url: must start with http:// or https://")
                    });
                    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next());
                    check(problems, authority.is_none_or(|a| !a.contains('@')), || {
                        format!("{place}.url: holds a user name or password: put the address into url_file")
                    });
                    Url::Open(url)
                }
                None => Url::Secret(need(place, "url", raw.url_file, raw.url_env, problems)?),
            };
            let target = Target::Webhook {
                url,
                secret: may(place, "secret", raw.secret_file, raw.secret_env, problems),
                bearer: may(place, "bearer", raw.bearer_file, raw.bearer_env, problems),
            };
            let fields = &[
                "url",
                "url_file",
                "url_env",
                "secret_file",
                "secret_env",
                "bearer_file",
                "bearer_env",
            ];
            (target, fields)
        }
        other => {
            problems.push(format!(
                "{place}.kind: must be slack, teams, pagerduty, opsgenie, sns, email or webhook, got {other:?}"
            ));
            return None;
        }
    };
    given.only(fields, place, &kind, problems);
    Some(target)
}

/// Which of the fields that belong to some kinds were given.
struct Given(Vec<&'static str>);

impl Given {
    fn new(raw: &RawChannel) -> Self {
        let all = [
            ("url", raw.url.is_some()),
            ("url_file", raw.url_file.is_some()),
            ("url_env", raw.url_env.is_some()),
            ("key_file", raw.key_file.is_some()),
            ("key_env", raw.key_env.is_some()),
            ("endpoint", raw.endpoint.is_some()),
            ("topic", raw.topic.is_some()),
            ("credentials_file", raw.credentials_file.is_some()),
            ("profile", raw.profile.is_some()),
            ("server", raw.server.is_some()),
            ("tls", raw.tls.is_some()),
            ("username", raw.username.is_some()),
            ("password_file", raw.password_file.is_some()),
            ("password_env", raw.password_env.is_some()),
            ("from", raw.from.is_some()),
            ("to", !raw.to.is_empty()),
            ("secret_file", raw.secret_file.is_some()),
            ("secret_env", raw.secret_env.is_some()),
            ("bearer_file", raw.bearer_file.is_some()),
            ("bearer_env", raw.bearer_env.is_some()),
        ];
        Self(all.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect())
    }

    fn only(&self, allowed: &[&str], place: &str, kind: &str, problems: &mut Vec<String>) {
        for name in &self.0 {
            check(problems, allowed.contains(name), || {
                format!("{place}.{name}: a channel of the kind {kind:?} has no such field")
            });
        }
    }
}

/// A secret that must be named.
fn need(
    place: &str,
    name: &str,
    file: Option<PathBuf>,
    variable: Option<String>,
    problems: &mut Vec<String>,
) -> Option<SecretPlace> {
    let found = SecretPlace::one_of(file, variable).ok().flatten();
    check(problems, found.is_some(), || {
        format!("{place}: give either {name}_file or {name}_env")
    });
    found
}

/// A secret that may be named.
fn may(
    place: &str,
    name: &str,
    file: Option<PathBuf>,
    variable: Option<String>,
    problems: &mut Vec<String>,
) -> Option<SecretPlace> {
    let found = SecretPlace::one_of(file, variable);
    check(problems, found.is_ok(), || {
        format!("{place}: give either {name}_file or {name}_env, not both")
    });
    found.unwrap_or_default()
}

fn mail(raw: RawChannel, place: &str, problems: &mut Vec<String>) -> Option<MailServer> {
    let tls = match raw.tls.as_deref().unwrap_or("starttls") {
        "starttls" => MailTls::Starttls,
        "implicit" => MailTls::Implicit,
        "off" => MailTls::Off,
        other => {
            problems.push(format!("{place}.tls: must be starttls, implicit or off, got {other:?}"));
            return None;
        }
    };
    let server = raw.server.unwrap_or_default();
    let usual = match tls {
        MailTls::Starttls => 587,
        MailTls::Implicit => 465,
        MailTls::Off => 25,
    };
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) => (host.to_owned(), port.parse().ok()),
        None => (server.clone(), Some(usual)),
    };
    let Some(port) = port.filter(|_| !host.is_empty()) else {
        problems.push(format!(
            "{place}.server: must be like smtp.example.com:587, got {server:?}"
        ));
        return None;
    };
    let is_near = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
    check(problems, tls != MailTls::Off || is_near, || {
        format!("{place}.tls: off is for a server on this machine; {host} is another")
    });
    let from = raw.from.unwrap_or_default();
    for address in raw.to.iter().chain([&from]) {
        check(problems, address.parse::<lettre::message::Mailbox>().is_ok(), || {
            format!("{place}: {address:?} is no mail address, such as \"Halo <halo@example.com>\"")
        });
    }
    check(problems, !raw.to.is_empty(), || {
        format!("{place}.to: name at least one mail address")
    });
    let password = may(place, "password", raw.password_file, raw.password_env, problems);
    check(problems, raw.username.is_some() == password.is_some(), || {
        format!("{place}: username and password_file (or password_env) belong together")
    });
    Some(MailServer {
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        tls,
        username: raw.username,
        password,
        from,
        to: raw.to,
    })
}
