//! What other systems tell beside samples: changes, alerts and silences. Each is recorded once however often it is told, kept before
//! it is acknowledged, and counted under the name of who told.

use super::{Coordinator, Effect, LaneName};
use crate::alert::SilenceError;
use crate::ingest::{RejectReason, Rejection};
use crate::pipeline::log_watch::{LineReader, SeenLine, lock};
use crate::topology::Found;
use std::sync::{Arc, Mutex};
use wire::Timestamp;
use wire::alert::{Alert, PostedAlert, Silence};
use wire::query::{ApiError, ErrorKind};
use wire::signal::LogRecord;
use wire::topology::{Deploy, EdgeDetail, EntityKind};

/// Changes of a plain call, which names no source.
const DEPLOYS_SOURCE: &str = "deploys";

impl Coordinator {
    /// A version went live among the wall clock's sources, or something else was changed there.
    pub(super) fn deployed(
        &mut self,
        who: &str,
        deploy: Deploy,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<String, ApiError> {
        for (field, value) in [("entity", deploy.entity.as_str()), ("version", deploy.version.as_str())] {
            if value.trim().is_empty() || value.len() > 1024 {
                return Err(ApiError::new(
                    ErrorKind::Invalid,
                    format!("deploy.{field}: must have 1 to 1024 characters"),
                ));
            }
        }
        let source: Arc<str> = match deploy.source.as_str() {
            "" => DEPLOYS_SOURCE.into(),
            named => named.into(),
        };
        let (kind, text) = (deploy.kind.as_str(), format!("{} {}", deploy.entity, deploy.version));
        if let Some(known) = self.deploys.iter().find(|known| known.is_same_change(&deploy)) {
            effects.push(Effect::KeepDeploy(known.clone()));
            self.told(&source, "changes", 0, RejectReason::Duplicate, 1, now);
            return Ok(format!("{kind} of {text} is recorded already"));
        }
        self.told(&source, "changes", 1, RejectReason::Duplicate, 0, now);
        self.record_deploy(LaneName::Wall, deploy.clone());
        effects.push(Effect::SaveDeploy(deploy));
        self.audit(now, who, kind, &text, "", effects);
        Ok(format!("{kind} of {text} recorded"))
    }

    /// Changes that touch a span of time, newest first.
    pub(crate) fn changes(
        &self,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        tags: &[String],
        any_tag: bool,
        limit: usize,
    ) -> Vec<Deploy> {
        let tagged = |deploy: &&Deploy| {
            let has = |tag: &String| deploy.tags.contains(tag);
            tags.is_empty()
                || if any_tag {
                    tags.iter().any(has)
                } else {
                    tags.iter().all(has)
                }
        };
        let mut found: Vec<&Deploy> = self
            .deploys
            .iter()
            .filter(|d| from.is_none_or(|from| d.until.unwrap_or(d.at) >= from) && to.is_none_or(|to| d.at <= to))
            .filter(tagged)
            .collect();
        found.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.entity.cmp(&b.entity)));
        found.into_iter().take(limit).cloned().collect()
    }

    /// Dependencies that were found among the wall clock's sources, or declared.
    pub(crate) fn found_edges(&mut self, found: Vec<Found>, now: Timestamp, effects: &mut Vec<Effect>) {
        for found in found {
            let edge = found.edge.clone();
            let is_place = found.kind.is_some_and(EntityKind::is_place);
            let (is_new, keep) = self.edge_book.see(found, now);
            if is_place {
                self.mark_place(&edge.callee);
            }
            if is_new {
                self.declare_edge(LaneName::Wall, edge);
            }
            effects.extend(keep.map(Effect::SaveEdge));
        }
    }

    pub(crate) fn edge_details(&self) -> Vec<EdgeDetail> {
        self.edge_book.edges().cloned().collect()
    }

    /// Alerts of another system.
    pub(super) fn receive_alerts(
        &mut self,
        source: &str,
        alerts: Vec<PostedAlert>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<String, ApiError> {
        let received = self.book.receive(source, alerts, now);
        let source: Arc<str> = source.into();
        let taken = received.kept.len() as u64 - received.repeated;
        self.told(
            &source,
            "alerts",
            taken,
            RejectReason::Duplicate,
            received.repeated,
            now,
        );
        self.told(&source, "alerts", 0, RejectReason::OverLimit, received.refused, now);
        effects.extend(
            received
                .kept
                .into_iter()
                .map(|alert| Effect::SaveAlert(Box::new(alert))),
        );
        if received.refused > 0 {
            return Err(ApiError::new(
                ErrorKind::Unavailable,
                format!(
                    "{} alerts find no room beside the {} that fire; {taken} were taken: send again later",
                    received.refused,
                    crate::alert::MAX_ALERTS
                ),
            ));
        }
        Ok(format!("{taken} alerts taken, {} were known", received.repeated))
    }

    pub(super) fn set_silence(
        &mut self,
        who: &str,
        silence: Silence,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<Silence, ApiError> {
        let kept = self.book.set_silence(silence, now).map_err(api_error)?;
        let set = kept[0].clone();
        let detail = format!("by {}: {}", set.created_by, set.comment);
        self.audit(now, who, "silence", &set.id, &detail, effects);
        effects.extend(kept.into_iter().map(Effect::SaveSilence));
        Ok(set)
    }

    pub(super) fn expire_silence(
        &mut self,
        who: &str,
        id: &str,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<Silence, ApiError> {
        let silence = self.book.expire_silence(id, now).map_err(api_error)?;
        self.audit(now, who, "expire_silence", id, "", effects);
        effects.push(Effect::SaveSilence(silence.clone()));
        Ok(silence)
    }

    pub(crate) fn alerts_of_others(&self, resolved: bool, now: Timestamp) -> Vec<Alert> {
        self.book.alerts(resolved, now)
    }

    pub(crate) fn silences(&self, now: Timestamp) -> Vec<Silence> {
        self.book.silences(now)
    }

    /// Samples that were refused before or by admission.
    pub(crate) fn refused(&mut self, source: &Arc<str>, rejections: &[Rejection]) {
        self.sources
            .entry(Arc::clone(source))
            .or_default()
            .count_rejections(rejections);
    }

    /// Lines of logs or spans were taken in, the newest of them at `newest`.
    pub(crate) fn arrived(&mut self, source: &Arc<str>, records: u64, newest: Option<Timestamp>, now: Timestamp) {
        let stats = self.sources.entry(Arc::clone(source)).or_default();
        stats.records += records;
        stats.heard(newest, now);
    }

    /// Who reads the lines of logs that [`Self::lines`] counts.
    pub(in crate::pipeline) fn line_reader(&self) -> Arc<Mutex<LineReader>> {
        self.logs.reader()
    }

    /// Lines that are kept from before: what they say is usual.
    pub(in crate::pipeline) fn learn_lines(&mut self, lines: &[LogRecord]) {
        let seen = lock(&self.logs.reader()).seen(lines.iter());
        self.lines(&seen);
        self.logs.learn();
    }

    /// Lines that were read and kept.
    pub(in crate::pipeline) fn lines(&mut self, lines: &[SeenLine]) {
        for line in lines {
            self.logs.count(line);
            if let Some(lane) = self.lanes.get_mut(&LaneName::Wall) {
                lane.brain.reports(&line.entity);
            }
        }
    }

    /// A receiver refused something before it came this far.
    pub(crate) fn receiver_refused(&mut self, source: &Arc<str>, kind: &str, refused: &[Rejection]) {
        let stats = self.sources.entry(Arc::clone(source)).or_default();
        kind.clone_into(&mut stats.kind);
        stats.count_rejections(refused);
    }

    /// Counts what a source told.
    fn told(
        &mut self,
        source: &Arc<str>,
        kind: &str,
        events: u64,
        reason: RejectReason,
        set_aside: u64,
        now: Timestamp,
    ) {
        let stats = self.sources.entry(Arc::clone(source)).or_default();
        kind.clone_into(&mut stats.kind);
        stats.events += events;
        stats.last_seen = Some(now);
        if events > 0 {
            stats.last_at = Some(now);
        }
        if set_aside > 0 {
            *stats.rejected.entry(reason).or_default() += set_aside;
        }
    }
}

fn api_error(error: SilenceError) -> ApiError {
    let kind = match error {
        SilenceError::Unknown(_) => ErrorKind::NotFound,
        SilenceError::Expired(_) | SilenceError::Invalid(_) => ErrorKind::Invalid,
        SilenceError::TooMany(_) => ErrorKind::Unavailable,
    };
    ApiError::new(kind, error.to_string())
}
