//! Who was told of an incident, over which channel, and why; or why nobody was.

use crate::incident::Severity;
use crate::{DeliveryId, IncidentId, Timestamp};
use serde::{Deserialize, Serialize};

/// What a channel leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    Slack,
    Teams,
    Pagerduty,
    Opsgenie,
    Sns,
    Email,
    /// The body of Alertmanager's webhook, version 4.
    Webhook,
}

impl ChannelKind {
    /// As configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Pagerduty => "pagerduty",
            Self::Opsgenie => "opsgenie",
            Self::Sns => "sns",
            Self::Email => "email",
            Self::Webhook => "webhook",
        }
    }
}

/// Why a message goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    Opened,
    /// Its severity rose.
    Worsened,
    /// It came back after people were told that it was over.
    Reopened,
    /// Nobody has acknowledged it in time.
    Escalated,
    /// Still open, and still nobody has acknowledged it.
    Reminder,
    Acknowledged,
    Resolved,
    /// A person tries the channel.
    Test,
}

impl Occasion {
    /// As a word in a title.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Worsened => "worse",
            Self::Reopened => "open again",
            Self::Escalated => "escalated",
            Self::Reminder => "still open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

/// How a delivery stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum DeliveryState {
    /// For its turn, for room below the channel's limit, or for the next try.
    Waiting {
        next_try: Timestamp,
    },
    Sending,
    /// `receipt` is what the other side answered.
    Delivered {
        at: Timestamp,
        receipt: String,
    },
    /// Given up: it will not be tried again.
    Failed {
        at: Timestamp,
    },
    /// Something newer about the same incident took its place.
    Superseded {
        at: Timestamp,
    },
}

impl DeliveryState {
    /// Whether anything will still become of it.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Waiting { .. } | Self::Sending)
    }
}

/// One message to one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub id: DeliveryId,
    pub channel: String,
    pub kind: ChannelKind,
    pub occasion: Occasion,
    /// `None`: a test without an incident.
    pub incident: Option<IncidentId>,
    pub severity: Severity,
    pub created: Timestamp,
    pub tries: u32,
    /// Why it was not delivered the last time, or what it waits for; empty: nothing went wrong.
    pub problem: String,
    pub state: DeliveryState,
}

/// One step on the way to a message, or to none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub at: Timestamp,
    pub stage: Stage,
    /// Whether this step let it pass.
    pub passed: bool,
    /// One sentence.
    pub text: String,
}

/// The steps, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Whether anything of this source is told at all.
    Source,
    /// Silences, and being put off by a person.
    Silence,
    /// What belongs together is told of once.
    Wait,
    /// Whose it is, and where that goes.
    Route,
    /// The channel's limit.
    Limit,
    /// What became of the message.
    Delivery,
    /// Nobody acknowledged it.
    Escalation,
    /// It is over.
    End,
}

impl Stage {
    /// As a heading.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Silence => "silence",
            Self::Wait => "wait",
            Self::Route => "route",
            Self::Limit => "limit",
            Self::Delivery => "delivery",
            Self::Escalation => "escalation",
            Self::End => "end",
        }
    }
}

/// Why people were told of an incident, or why not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notifications {
    /// One sentence: who was told, or why nobody was.
    pub summary: String,
    /// Oldest first.
    pub decisions: Vec<Decision>,
    /// Newest first.
    pub deliveries: Vec<Delivery>,
}

/// A channel and how it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    pub name: String,
    pub kind: ChannelKind,
    /// Where it leads, without secrets.
    pub target: String,
    pub delivered: u64,
    pub failed: u64,
    pub waiting: u64,
    /// The newest delivery that came to an end.
    pub last: Option<Delivery>,
}

/// How a channel does since the start, for everybody to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelHealth {
    pub name: String,
    pub delivered: u64,
    /// Messages that were given up.
    pub failed: u64,
    pub waiting: u64,
    /// Why its last try failed; empty: it did not.
    pub problem: String,
}

/// A rotation and who has it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnCall {
    pub schedule: String,
    /// The channel whose turn it is.
    pub channel: String,
    /// Until then, as far as it ends.
    pub until: Option<Timestamp>,
}

/// Channels, rotations, and the newest deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channels {
    pub channels: Vec<Channel>,
    pub on_call: Vec<OnCall>,
    /// Newest first.
    pub deliveries: Vec<Delivery>,
}

/// A message as it would go out, secrets masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    pub channel: String,
    pub title: String,
    /// The request or the mail.
    pub message: String,
}
