//! Names of things, stable across restarts.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A series: the hash of its sorted label set. The same labels give the same id on every machine.
///
/// Serialised as 16 hex digits: JavaScript numbers lose the low bits of a `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u64);

impl fmt::Display for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for SeriesId {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if s.len() != 16 {
            return Err(format!("a series id has 16 hex digits, got {s:?}"));
        }
        u64::from_str_radix(s, 16)
            .map(Self)
            .map_err(|_| format!("a series id has 16 hex digits, got {s:?}"))
    }
}

impl Serialize for SeriesId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SeriesId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

text_id!(
    /// A service, host, database, queue or any other thing that has metrics: its name exactly as the source spells it.
    EntityId
);
text_id!(
    /// An incident, such as `INC-000042`. Given once, never reused, kept across merge and split.
    IncidentId
);
text_id!(
    /// A prediction, such as `PRE-000007`.
    PredictionId
);
text_id!(
    /// A proposed remediation, such as `ACT-000003`.
    ProposalId
);
text_id!(
    /// A message to a channel, such as `NTF-000012`.
    DeliveryId
);
