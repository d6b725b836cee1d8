//! The proof: charts of what the story cites, every member with its reason, and what is proposed.

use crate::canvas::MetricChart;
use crate::clock;
use crate::component::{Icon, ProposalStateBadge, RiskBadge, Symbol};
use crate::format;
use crate::page::metric_name;
use crate::state::live;
use crate::state::remote::remote;
use leptos::prelude::*;
use leptos_router::components::A;
use wire::incident::{IncidentDetail, Member};
use wire::query::{Query, Reply};
use wire::series::{RATE_OF, SeriesDetail};
use wire::{EntityId, ProposalId, SeriesId, Timestamp};

/// How many charts the page draws at once.
const CHARTS: usize = 6;
/// Context before the onset, as a share of the span of the incident.
const LEAD: f64 = 0.6;
/// Enough samples before the onset to see what normal was: services report in minutes, the host in seconds.
const MIN_LEAD_MS: i64 = 4 * 60 * 60_000;
const HOST_LEAD_MS: i64 = 15 * 60_000;

/// Small charts of the series that the story cites, then of the strongest members.
#[component]
pub(super) fn Evidence(detail: Memo<Option<IncidentDetail>>) -> impl IntoView {
    let series = Memo::new(move |_| detail.with(|d| d.as_ref().map(cited).unwrap_or_default()));
    // Where the charts begin is settled once: charts that shift while they are read are worse than a tight start.
    let from = detail.with_untracked(|d| d.as_ref().map_or(Timestamp(0), begin));
    let to = Memo::new(move |_| detail.with(|d| d.as_ref().and_then(end)));
    view! {
        <section class="card" aria-labelledby="evidence" data-testid="evidence">
            <h2 class="card__title" id="evidence">"Evidence"</h2>
            <div class="evidence">
                <For each=move || series.get() key=|(id, _)| *id let:item>
                    <EvidenceChart id=item.0 entity=item.1 from to />
                </For>
            </div>
        </section>
    }
}

fn begin(detail: &IncidentDetail) -> Timestamp {
    let started = detail.summary.started;
    let last = detail.members.iter().map(|m| m.last).max().unwrap_or(started);
    let least = if detail.summary.source == "host" {
        HOST_LEAD_MS
    } else {
        MIN_LEAD_MS
    };
    started - ((last.millis_since(started) as f64 * LEAD) as i64).max(least)
}

/// A while after its end; open incidents have none.
fn end(detail: &IncidentDetail) -> Option<Timestamp> {
    let (started, ended) = (detail.summary.started, detail.summary.ended?);
    Some(ended + (ended.millis_since(started) / 4).max(HOST_LEAD_MS))
}

fn cited(detail: &IncidentDetail) -> Vec<(SeriesId, EntityId)> {
    let story = &detail.story;
    let claims = [&story.cause, &story.critical_failure, &story.impact];
    let wanted = claims
        .iter()
        .flat_map(|c| c.evidence.iter().copied())
        .chain(detail.members.iter().map(|m| m.series));
    let mut series: Vec<(SeriesId, EntityId)> = Vec::new();
    for id in wanted {
        if let Some(member) = detail.members.iter().find(|m| m.series == id && m.has_samples)
            && series.iter().all(|(known, _)| *known != id)
        {
            series.push((id, member.entity.clone()));
        }
    }
    series.truncate(CHARTS);
    series
}

#[component]
fn EvidenceChart(id: SeriesId, entity: EntityId, from: Timestamp, to: Memo<Option<Timestamp>>) -> impl IntoView {
    let live = live();
    let detail = remote(
        move || {
            Some(Query::Series {
                id,
                from: Some(from),
                to: to.get(),
                max_points: Some(240),
            })
        },
        move || if to.get().is_some() { 0 } else { live.pulse.get() },
        |reply| match reply {
            Reply::Series(detail) => Some(detail),
            _ => None,
        },
    );
    let name = move || {
        detail
            .data
            .with(|d| d.as_ref().map(|d: &SeriesDetail| metric_name(&d.summary.info)))
    };
    let value = move || {
        detail.data.with(|d| {
            d.as_ref().and_then(|d| {
                d.summary
                    .last_value
                    .map(|v| format::metric_value(&d.summary.info.quantity(), v))
            })
        })
    };
    view! {
        <A href=format!("/series/{id}") attr:class="evidence__item" attr:data-testid="evidence-chart">
            <span class="evidence__head">
                <span class="evidence__name"><b>{entity.to_string()}</b> " " {name}</span>
                <span class="num">{value}</span>
            </span>
            <MetricChart detail=Signal::derive(move || detail.data.get()) compact=true />
        </A>
    }
}

/// Everything that belongs to the incident, and why.
#[component]
pub(super) fn Members(members: Memo<Vec<Member>>) -> impl IntoView {
    let count = move || members.with(Vec::len) as u64;
    view! {
        <section class="card" aria-labelledby="members" data-testid="members">
            <div class="card__head">
                <h2 class="card__title" id="members">"Members"</h2>
                <span class="card__quiet">{move || format::plural(count(), "metric", "metrics")}</span>
            </div>
            <div class="table-scroll">
                <table class="table">
                    <thead>
                        <tr>
                            <th>"Metric"</th>
                            <th>"From"</th>
                            <th class="table__right">"Observed"</th>
                            <th class="table__right">"Expected"</th>
                            <th class="table__right" title="The last value at which the detector would have kept quiet">"Quiet at"</th>
                            <th>"Why it is in"</th>
                        </tr>
                    </thead>
                    <tbody>
                        <For each=move || members.get() key=|m| (m.series, m.last, m.observed.to_bits()) let:member>
                            <MemberRow member />
                        </For>
                    </tbody>
                </table>
            </div>
        </section>
    }
}

#[component]
fn MemberRow(member: Member) -> impl IntoView {
    let offset = clock::zone_offset_minutes(member.onset.as_millis());
    let (entity, metric) = (member.entity.to_string(), member.metric.clone());
    let whole = entity.clone();
    let quiet = member.quiet_at.map_or_else(String::new, |quiet| {
        let side = if member.observed > quiet { "≤" } else { "≥" };
        format!("{side} {}", format::metric_value(bare(&member.metric), quiet))
    });
    let name = view! {
        <b>{entity}</b>
        " "
        <span>{metric}</span>
    };
    let name = if member.has_samples {
        let href = format!("/series/{}", member.series);
        view! { <A href attr:class="table__link table__link--two" attr:title=whole>{name}</A> }.into_any()
    } else {
        view! { <span class="table__link--two" title=whole>{name}</span> }.into_any()
    };
    view! {
        <tr data-row="" data-testid="member">
            <td>{name}</td>
            <td class="num">{format::clock(member.onset, offset)}</td>
            <td class="num table__right table__strong">{format::metric_value(bare(&member.metric), member.observed)}</td>
            <td class="num table__right">{format::metric_value(bare(&member.metric), member.expected)}</td>
            <td class="num table__right" data-testid="member-quiet">{quiet}</td>
            <td class="table__reason">{member.reason}</td>
        </tr>
    }
}

/// The metric without its statistic: the unit is in the name.
fn bare(metric: &str) -> &str {
    let name = metric.strip_prefix(RATE_OF).unwrap_or(metric);
    let end = name.find([' ', '{']).unwrap_or(name.len());
    &metric[..metric.len() - name.len() + end]
}

/// What can be done about it.
#[component]
pub(super) fn Proposals(ids: Memo<Vec<ProposalId>>) -> impl IntoView {
    let live = live();
    let listed = Memo::new(move |_| {
        live.proposals.with(|all| {
            all.iter()
                .filter(|p| ids.with(|ids| ids.contains(&p.id)))
                .cloned()
                .collect::<Vec<_>>()
        })
    });
    view! {
        <Show when=move || !listed.with(Vec::is_empty)>
            <section class="card" aria-labelledby="proposals" data-testid="incident-proposals">
                <h2 class="card__title" id="proposals">"What can be done"</h2>
                <ul class="rows">
                    {move || {
                        listed
                            .get()
                            .into_iter()
                            .map(|proposal| {
                                view! {
                                    <li class="remedy" data-row="">
                                        <A
                                            href=format!("/approvals?proposal={}", proposal.id)
                                            attr:class="remedy__title"
                                        >
                                            {proposal.title}
                                        </A>
                                        <div class="remedy__facts">
                                            <ProposalStateBadge state=proposal.state />
                                            <RiskBadge risk=proposal.risk />
                                            <Icon symbol=Symbol::ArrowRight />
                                        </div>
                                    </li>
                                }
                            })
                            .collect_view()
                    }}
                </ul>
            </section>
        </Show>
    }
}
