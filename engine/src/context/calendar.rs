//! When planned things happen: recurrence rules of RFC 5545 in time zones, calendar files.
//!
//! Civil time is kept: a window at 02:00 in Berlin is at 02:00 in Berlin in summer and in winter. A recurrence whose local time
//! the clocks skip on its day does not occur (RFC 5545, section 3.3.10); a single start in such a gap counts as far after the
//! change as it was into the gap (section 3.3.5). Of a local time that the clocks repeat the first counts. The database of time
//! zones is compiled in, so the same configuration means the same instants everywhere.

mod expand;
mod ics;
mod rule;
mod schedule;
mod timeline;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use ics::{Event, parse_ics};
pub use rule::Rule;
pub(crate) use schedule::find_zone;
pub use schedule::{Length, Schedule, Span};
pub use timeline::Timeline;
