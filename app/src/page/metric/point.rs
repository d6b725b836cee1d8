//! The figures: of the point under the pointer, and of every point.

use crate::clock;
use crate::format;
use leptos::prelude::*;
use wire::series::{MemberVote, SeriesDetail, SeriesPoint};

/// The chosen point, or the last one: value, expectation, and each member's vote.
#[component]
pub(super) fn PointPanel(shown: RwSignal<Option<SeriesDetail>>, hover: RwSignal<Option<usize>>) -> impl IntoView {
    let chosen = Memo::new(move |_| {
        shown.with(|d| {
            let detail = d.as_ref()?;
            let point = hover
                .get()
                .and_then(|at| detail.points.get(at))
                .or_else(|| detail.points.last())?;
            Some((
                detail.summary.info.quantity().into_owned(),
                *point,
                hover.get().is_some(),
            ))
        })
    });
    view! {
        {move || chosen.get().map(|(metric, point, hovered)| view! { <Point metric point hovered /> })}
    }
}

#[component]
fn Point(metric: String, point: SeriesPoint, hovered: bool) -> impl IntoView {
    let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |v| format::metric_value(&metric, v));
    let difference = point.value.zip(point.expected).map_or_else(
        || "–".to_owned(),
        |(value, expected)| format::metric_difference(&metric, value - expected, value.abs().max(expected.abs())),
    );
    let at = format::date_clock(point.at, clock::zone_offset_minutes(point.at.as_millis()));
    let band = match (point.lower, point.upper) {
        (Some(low), Some(high)) => format!(
            "{} to {}",
            format::metric_value(&metric, low),
            format::metric_value(&metric, high)
        ),
        _ => "not learnt yet".to_owned(),
    };
    view! {
        <section class="card" aria-label="Chosen sample" data-testid="point">
            <dl class="point num">
                <div><dt>{if hovered { "Sample at" } else { "Last sample" }}</dt><dd>{at}</dd></div>
                <div><dt>"Observed"</dt><dd>{show(point.value)}</dd></div>
                <div><dt>"Expected"</dt><dd>{show(point.expected)}</dd></div>
                <div><dt>"Band"</dt><dd>{band}</dd></div>
                <div><dt>"Difference"</dt><dd>{difference}</dd></div>
                <div><dt>"Score"</dt><dd>{format!("{:.3}", point.score)}</dd></div>
                <div><dt>"Decision"</dt><dd>{decision(&point)}</dd></div>
            </dl>
            <div class="votes" data-testid="votes">
                <Vote class="stl" name="Decomposition" note="distance from the expected course" vote=point.votes.stl />
                <Vote class="forest" name="Isolation forest" note="how alone the residuals stand" vote=point.votes.forest />
                <Vote class="autoencoder" name="Autoencoder" note="how badly the window is rebuilt" vote=point.votes.autoencoder />
                {point.votes.simple.map(|own| view! {
                    <Vote class="simple" name="Simple detector" note="set in halo.toml, decides alone" vote=Some(own) />
                })}
                <Vote class="novelty" name="Novelty" note="how far from every value seen before" vote=point.votes.novelty />
            </div>
        </section>
    }
}

fn decision(point: &SeriesPoint) -> String {
    if point.votes.simple.is_some() {
        return if point.anomaly {
            "anomaly by the rule set for it"
        } else {
            "normal"
        }
        .to_owned();
    }
    if point.provisional {
        return "provisional, not confirmed".to_owned();
    }
    match (point.anomaly, point.votes.count()) {
        (true, 0 | 1) => "anomaly, a fixed limit or range is broken".to_owned(),
        (true, votes) => format!("anomaly, {votes} of 4 agree"),
        (false, 0) => "normal".to_owned(),
        (false, votes) => format!("normal, {votes} of 4 object"),
    }
}

#[component]
fn Vote(class: &'static str, name: &'static str, note: &'static str, vote: Option<MemberVote>) -> impl IntoView {
    let (says, yes, score) = match vote {
        None => ("not asked", false, String::new()),
        Some(v) if v.vote => ("anomalous", true, format!("{:.3}", v.score)),
        Some(v) => ("normal", false, format!("{:.3}", v.score)),
    };
    view! {
        <div class=format!("vote vote--{class}") data-testid=format!("vote-{class}") data-vote=yes.to_string()>
            <div class="vote__line"><b>{name}</b><span class="num">{score}</span></div>
            <div class="vote__line"><small>{note}</small><span class="vote__says" class:vote__says--yes=yes>{says}</span></div>
        </div>
    }
}

/// The chart's twin for those who read rather than look. Built only when opened.
#[component]
pub(super) fn DataTable(shown: RwSignal<Option<SeriesDetail>>) -> impl IntoView {
    let open = RwSignal::new(false);
    view! {
        <details
            class="card data"
            data-testid="data"
            on:toggle=move |event| {
                open.set(event_target::<web_sys::Element>(&event).has_attribute("open"));
            }
        >
            <summary data-testid="show-data">"Show data"</summary>
            <Show when=move || open.get()>
                <div class="table-scroll" tabindex="0">
                    <table class="table num" data-testid="data-table">
                        <thead>
                            <tr>
                                <th>"Time"</th>
                                <th class="table__right">"Observed"</th>
                                <th class="table__right">"Expected"</th>
                                <th class="table__right">"Lower"</th>
                                <th class="table__right">"Upper"</th>
                                <th class="table__right">"Score"</th>
                                <th>"Votes"</th>
                                <th>"Anomaly"</th>
                            </tr>
                        </thead>
                        <tbody>{move || shown.with(|d| d.as_ref().map(rows))}</tbody>
                    </table>
                </div>
            </Show>
        </details>
    }
}

/// Newest first.
fn rows(detail: &SeriesDetail) -> impl IntoView + use<> {
    let metric = detail.summary.info.quantity().into_owned();
    let show = move |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |v| format::metric_value(&metric, v));
    detail
        .points
        .iter()
        .rev()
        .map(|point| {
            view! {
                <tr>
                    <td>{format::date_clock(point.at, clock::zone_offset_minutes(point.at.as_millis()))}</td>
                    <td class="table__right">{show(point.value)}</td>
                    <td class="table__right">{show(point.expected)}</td>
                    <td class="table__right">{show(point.lower)}</td>
                    <td class="table__right">{show(point.upper)}</td>
                    <td class="table__right">{format!("{:.3}", point.score)}</td>
                    <td>{point.votes.count()} " of 4"</td>
                    <td>{if point.anomaly { "yes" } else if point.provisional { "provisional" } else { "" }}</td>
                </tr>
            }
        })
        .collect_view()
}
