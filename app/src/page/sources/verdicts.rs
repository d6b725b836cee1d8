//! What people made of the incidents: each model's record, and whether the chances that were said came true.

use crate::component::{Empty, Symbol};
use crate::format;
use crate::state::live;
use leptos::prelude::*;
use wire::series::Voter;
use wire::status::{MemberRecord, ReliabilityBin};

#[component]
pub(super) fn VerdictCard() -> impl IntoView {
    let live = live();
    let verdicts = Memo::new(move |_| live.status.with(|s| s.verdicts.clone()));
    let judged = move || verdicts.with(|v| v.real + v.false_alarms);
    view! {
        <section class="card" aria-labelledby="verdicts" data-testid="verdicts">
            <h2 class="card__title" id="verdicts">"Verdicts"</h2>
            <Show
                when=move || { judged() > 0 }
                fallback=|| view! {
                    <Empty symbol=Symbol::Check title="No verdicts yet" text="Answer “Was this right?” on an incident: here you then see how often each model was right, and whether the likelihoods came true." />
                }
            >
                <p class="verdicts__total num" data-testid="verdicts-total">
                    {move || verdicts.with(|v| format!(
                        "{} judged: {} real, {}",
                        format::plural(v.real + v.false_alarms, "incident", "incidents"),
                        v.real,
                        format::plural(v.false_alarms, "false alarm", "false alarms")
                    ))}
                </p>
                <table class="table verdicts__table" data-testid="verdicts-members">
                    <thead><tr>
                        <th scope="col">"Model"</th>
                        <th scope="col" class="table__right">"Voted for"</th>
                        <th scope="col" class="table__right">"Were real"</th>
                    </tr></thead>
                    <tbody>
                        {move || verdicts.with(|v| v.members.iter().map(member_row).collect_view())}
                    </tbody>
                </table>
                <table class="table verdicts__table" data-testid="verdicts-reliability">
                    <thead><tr>
                        <th scope="col">"Likely real"</th>
                        <th scope="col" class="table__right">"Incidents"</th>
                        <th scope="col" class="table__right">"Were real"</th>
                    </tr></thead>
                    <tbody>
                        {move || verdicts.with(|v| v.reliability.iter().map(reliability_row).collect_view())}
                    </tbody>
                </table>
                {move || verdicts.with(|v| v.expected_calibration_error.map(|error| {
                    let points = format::plural((error * 100.0).round() as u64, "percentage point", "percentage points");
                    view! { <p class="card__quiet">"What was said and what was real differ by " {points} " on average"</p> }
                }))}
            </Show>
        </section>
    }
}

fn member_row(record: &MemberRecord) -> impl IntoView + use<> {
    let name = match record.member {
        Voter::Decomposition => "Decomposition",
        Voter::Forest => "Isolation forest",
        Voter::Autoencoder => "Autoencoder",
        Voter::Novelty => "Novelty",
    };
    let all = record.real + record.false_alarms;
    let share = format::percent(record.real as f64 / all.max(1) as f64);
    view! {
        <tr>
            <th scope="row">{name}</th>
            <td class="num table__right">{format::count(all)}</td>
            <td class="num table__right">{share}</td>
        </tr>
    }
}

fn reliability_row(bin: &ReliabilityBin) -> impl IntoView + use<> {
    let said = format!("{:.0}\u{2013}{}", bin.from * 100.0, format::percent(bin.to));
    view! {
        <tr>
            <th scope="row" class="num">{said}</th>
            <td class="num table__right">{format::count(bin.incidents)}</td>
            <td class="num table__right">{format::percent(bin.came_true)}</td>
        </tr>
    }
}
