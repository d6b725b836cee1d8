//! Messages in the form of each channel. Pure: secrets come by a function, which for a preview gives dots.

mod alertmanager;
mod mail;
mod opsgenie;
mod pagerduty;
mod slack;
mod sns;
mod teams;

#[cfg(test)]
mod tests;

use super::template::Words;
use super::{Channel, MailServer, Notice, NotifyConfig, Parcel, Target, Url};
use crate::config::SecretPlace;
use crate::ingest::cloudwatch::poll::CredentialsPlace;
use crate::ingest::signal::hex;
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use wire::incident::Severity;
use wire::notify::{Occasion, Preview};

/// What a message is made of.
#[derive(Debug)]
struct Message<'a> {
    occasion: Occasion,
    notice: &'a Notice,
    words: Words,
    /// The incident's page.
    link: Option<String>,
    /// The same for each try of the same message.
    key: &'a str,
    /// The console.
    base: Option<&'a str>,
    channel: &'a str,
}

/// What goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    Http(HttpRequest),
    Mail(Mail),
}

/// A POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// Signed as AWS wants it.
    pub aws: Option<Aws>,
    /// What the body of an answer must be beside a status of 2xx, if that says more than the status.
    pub expect: Option<&'static str>,
}

/// Whose keys sign, for which service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aws {
    pub service: &'static str,
    pub region: String,
    pub credentials: CredentialsPlace,
}

/// A mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub server: MailServer,
    pub password: Option<String>,
    pub subject: String,
    pub text: String,
    /// Message-ID, without brackets.
    pub id: String,
    /// The first mail about the same incident, which this one belongs to.
    pub thread: String,
}

/// Where secrets come from.
pub type Secrets<'a> = &'a dyn Fn(&SecretPlace) -> Result<String, String>;

/// The request or the mail of a parcel.
///
/// # Errors
/// Which secret cannot be read.
pub fn render(
    config: &NotifyConfig,
    channel: &Channel,
    parcel: &Parcel,
    secrets: Secrets<'_>,
) -> Result<Outgoing, String> {
    let (notice, occasion) = (&parcel.notice, parcel.delivery.occasion);
    let base = config.link_base.as_deref().map(|base| base.trim_end_matches('/'));
    let link = base
        .filter(|_| occasion != Occasion::Test)
        .map(|base| format!("{base}/incidents/{}", notice.incident));
    let message = Message {
        occasion,
        notice,
        words: channel.template.words(occasion, notice, link.as_deref()),
        link,
        key: parcel.delivery.id.as_str(),
        base,
        channel: &channel.name,
    };
    let (url, body, mut headers) = match &channel.target {
        Target::Slack { url } => (secrets(url)?, slack::body(&message), Vec::new()),
        Target::Teams { url } => (secrets(url)?, teams::body(&message), Vec::new()),
        Target::Pagerduty { key, endpoint } => (
            format!("{endpoint}/v2/enqueue"),
            pagerduty::body(&message, &secrets(key)?),
            Vec::new(),
        ),
        Target::Opsgenie { key, endpoint } => {
            let authorization = ("authorization", format!("GenieKey {}", secrets(key)?));
            let (path, body) = opsgenie::request(&message);
            (format!("{endpoint}{path}"), body, vec![authorization])
        }
        Target::Webhook { url, secret, bearer } => {
            let url = match url {
                Url::Open(url) => url.clone(),
                Url::Secret(place) => secrets(place)?,
            };
            let body = alertmanager::body(&message);
            let mut headers = vec![("idempotency-key", message.key.to_owned())];
            if let Some(place) = bearer {
                headers.push(("authorization", format!("Bearer {}", secrets(place)?)));
            }
            if let Some(place) = secret {
                let signature = signature(&secrets(place)?, &body.to_string());
                headers.push(("x-halo-signature-256", format!("sha256={signature}")));
            }
            (url, body, headers)
        }
        Target::Sns {
            topic,
            region,
            endpoint,
            credentials,
        } => {
            return Ok(Outgoing::Http(sns::request(
                &message,
                topic,
                region,
                endpoint.as_deref(),
                credentials,
            )));
        }
        Target::Email(server) => {
            let password = server.password.as_ref().map(secrets).transpose()?;
            return Ok(Outgoing::Mail(mail::mail(&message, server, password)));
        }
    };
    headers.insert(0, ("content-type", "application/json".to_owned()));
    Ok(Outgoing::Http(HttpRequest {
        url,
        headers,
        body: Value::to_string(&body),
        aws: None,
        // Other services behind the same kind of address answer 200 to what they did not understand.
        expect: matches!(channel.target, Target::Slack { .. }).then_some("ok"),
    }))
}

/// A parcel as it would go out, for people to look at: no secret is read.
pub fn preview(config: &NotifyConfig, channel: &Channel, parcel: &Parcel) -> Preview {
    let masked = |_: &SecretPlace| Ok("…".to_owned());
    let title = channel
        .template
        .words(parcel.delivery.occasion, &parcel.notice, None)
        .title;
    let message = match render(config, channel, parcel, &masked) {
        Ok(Outgoing::Http(request)) => {
            let mut text = format!("POST {}\n", request.url);
            for (name, value) in &request.headers {
                text += &format!("{name}: {value}\n");
            }
            let pretty =
                serde_json::from_str::<Value>(&request.body).and_then(|body| serde_json::to_string_pretty(&body));
            text + "\n" + &pretty.unwrap_or(request.body)
        }
        Ok(Outgoing::Mail(mail)) => format!(
            "From: {}\nTo: {}\nSubject: {}\n\n{}",
            mail.server.from,
            mail.server.to.join(", "),
            mail.subject,
            mail.text
        ),
        Err(problem) => problem,
    };
    Preview {
        channel: channel.name.clone(),
        title,
        message,
    }
}

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body.as_bytes());
    hex(&mac.finalize().into_bytes())
}

/// A word for the severity, beside the color.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::P1 => "critical",
        Severity::P2 => "high",
        Severity::P3 => "medium",
        Severity::P4 => "low",
    }
}
