//! Telling people: whom, over which channel, when, and when not.
//!
//! [`Notifier`] is plain state with a clock as argument: it takes what changes about incidents and returns what is to be kept and
//! to be sent; [`render`] makes the request of a channel out of it. [`send`] alone touches the world. Every message is in the outbox,
//! and so in the store, before it is sent, and goes out at least once: after a crash between sending and recording it is sent again
//! under the same key, by which PagerDuty, Opsgenie, Amazon SNS (FIFO) and webhooks that honor it know it for the same.
//!
//! Rules, in the order in which they apply to an incident:
//! - what a recording replays is never told;
//! - a silence that covers all of its members, or a person who put it off, keeps it quiet for as long;
//! - it is told of once it has been open for [`NotifyConfig::wait_ms`], with all that has joined it by then;
//! - the first route that fits its severity and its team (whose entity the cause is) says where;
//! - a channel has one open notification of an incident at most. It hears again if the severity rises, if nobody acknowledges it, and
//!   when it is over for [`NotifyConfig::resolve_wait_ms`], longer for one that keeps coming back;
//! - above a channel's limit only the worst are told of at once, the others when there is room, as far as they still matter.

mod notice;
mod notifier;
mod outbox;
pub mod render;
mod rota;
mod route;
pub mod send;
mod template;
mod told;

#[cfg(test)]
mod tests;

pub use notice::Notice;
pub(crate) use notifier::{Notifier, Output, no_channel};
pub use outbox::{Parcel, Sent};
pub use rota::{Override, Rota};
pub use route::{Escalation, Route, Team};
pub use template::Template;
pub use told::Told;

use crate::config::SecretPlace;
use crate::ingest::cloudwatch::poll::CredentialsPlace;
use wire::notify::ChannelKind;

/// What is kept of notifications in the store: these many days.
const KEEP_MS: i64 = 7 * 24 * 3600 * 1000;

/// What a person may set. Without channels nobody is told of anything.
#[derive(Clone, Debug, PartialEq)]
pub struct NotifyConfig {
    /// Where people reach the console; `None`: messages have no links.
    pub link_base: Option<String>,
    /// So long an incident is open before it is told of.
    pub wait_ms: i64,
    /// So long it is over before that is told.
    pub resolve_wait_ms: i64,
    /// So often one that nobody has acknowledged is told of again; 0: never.
    pub repeat_ms: i64,
    pub channels: Vec<Channel>,
    pub teams: Vec<Team>,
    pub rotas: Vec<Rota>,
    /// The first that fits counts, and those after it as far as it says so. Without any, every incident but a P4 goes to every channel.
    pub routes: Vec<Route>,
    /// Channels for what another channel finally failed to deliver.
    pub fallback: Vec<String>,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            link_base: None,
            wait_ms: 15_000,
            resolve_wait_ms: 5 * 60_000,
            repeat_ms: 4 * 3600 * 1000,
            channels: Vec::new(),
            teams: Vec::new(),
            rotas: Vec::new(),
            routes: Vec::new(),
            fallback: Vec::new(),
        }
    }
}

impl NotifyConfig {
    /// The channel of this name.
    pub fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.name == name)
    }
}

/// A way to people.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    pub name: String,
    pub target: Target,
    /// Messages about anything but P1 within an hour at most.
    pub max_per_hour: u32,
    /// Title and text in other words than the usual ones.
    pub template: Template,
}

/// Where a channel leads. Addresses that are secrets, as those of Slack and Teams are, are read when something is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    Slack {
        url: SecretPlace,
    },
    Teams {
        url: SecretPlace,
    },
    Pagerduty {
        /// The routing key of an integration of Events API v2.
        key: SecretPlace,
        endpoint: String,
    },
    Opsgenie {
        key: SecretPlace,
        endpoint: String,
    },
    Sns {
        topic: String,
        region: String,
        endpoint: Option<String>,
        credentials: CredentialsPlace,
    },
    Email(MailServer),
    Webhook {
        url: Url,
        /// Signs the body: `X-Halo-Signature-256`.
        secret: Option<SecretPlace>,
        bearer: Option<SecretPlace>,
    },
}

/// An address that everybody may see, or none but the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Url {
    Open(String),
    Secret(SecretPlace),
}

/// A mail server and what it is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailServer {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    pub username: Option<String>,
    pub password: Option<SecretPlace>,
    pub from: String,
    pub to: Vec<String>,
}

/// How the connection to a mail server is kept private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// Begins in clear text and must become private before anything is said: port 587.
    Starttls,
    /// From the first byte on: port 465.
    Implicit,
    /// Not at all: a server on this machine.
    Off,
}

impl Target {
    /// Its kind.
    pub fn kind(&self) -> ChannelKind {
        match self {
            Self::Slack { .. } => ChannelKind::Slack,
            Self::Teams { .. } => ChannelKind::Teams,
            Self::Pagerduty { .. } => ChannelKind::Pagerduty,
            Self::Opsgenie { .. } => ChannelKind::Opsgenie,
            Self::Sns { .. } => ChannelKind::Sns,
            Self::Email(_) => ChannelKind::Email,
            Self::Webhook { .. } => ChannelKind::Webhook,
        }
    }

    /// Whether it is a system that knows of acknowledgements and reminds by itself.
    fn pages(&self) -> bool {
        matches!(self, Self::Pagerduty { .. } | Self::Opsgenie { .. })
    }

    /// Where it leads, without secrets.
    pub fn describe(&self) -> String {
        match self {
            Self::Slack { url } | Self::Teams { url } => format!("address in {}", url.describe()),
            Self::Pagerduty { key, endpoint } | Self::Opsgenie { key, endpoint } => {
                format!("{endpoint}, key in {}", key.describe())
            }
            Self::Sns { topic, .. } => topic.clone(),
            Self::Email(mail) => format!("{} by {}:{}", mail.to.join(", "), mail.host, mail.port),
            Self::Webhook {
                url: Url::Open(url), ..
            } => url.clone(),
            Self::Webhook {
                url: Url::Secret(place),
                ..
            } => format!("address in {}", place.describe()),
        }
    }
}
