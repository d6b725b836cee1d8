//! An incident in a list.

use super::badge::severity_class;
use super::{Confidence, Icon, IncidentStateBadge, SeverityBadge, Symbol};
use crate::format;
use crate::state::live;
use leptos::prelude::*;
use leptos_router::components::A;
use wire::IncidentId;
use wire::command::Command;
use wire::incident::{IncidentState, IncidentSummary};

/// One row: what, since when, why, how far it reaches, and the button to acknowledge it. The row stays in place while the
/// incident changes, so that the focus of the keyboard does too.
#[component]
pub(crate) fn IncidentRow(id: IncidentId) -> impl IntoView {
    let live = live();
    let (shown_id, row_id, href) = (id.to_string(), id.to_string(), format!("/incidents/{id}"));
    let wanted = id.clone();
    let incident = Memo::new(move |_| live.incidents.with(|all| all.iter().find(|i| i.id == wanted).cloned()));
    let class = move || {
        incident.with(|i| {
            i.as_ref()
                .map(|i| format!("incident-row incident-row--{}", severity_class(i.severity)))
        })
    };
    let age = move || {
        incident.with(|i| {
            i.as_ref().map(|i| {
                format::duration(
                    i.ended
                        .unwrap_or_else(|| live.now_of(&i.source))
                        .millis_since(i.started),
                )
            })
        })
    };
    let severity = Memo::new(move |_| incident.with(|i| i.as_ref().map(|i| i.severity)));
    let state = Memo::new(move |_| incident.with(|i| i.as_ref().map(|i| i.state)));
    let acknowledge = StoredValue::new(id);
    view! {
        <li class=class data-row="" data-testid="incident-row" data-id=row_id>
            {move || severity.get().map(|severity| view! { <SeverityBadge severity /> })}
            <div class="incident-row__what">
                <A href attr:class="incident-row__title">
                    {move || incident.with(|i| i.as_ref().map(|i| i.title.clone()))}
                </A>
                <div class="incident-row__facts">
                    <span class="mono">{shown_id}</span>
                    {move || incident.get().map(|incident| view! { <Facts incident /> })}
                </div>
            </div>
            {move || state.get().map(|state| view! { <IncidentStateBadge state /> })}
            <span class="incident-row__age num" title="Duration">{age}</span>
            <div class="incident-row__act">
                <Show when=move || state.get() == Some(IncidentState::Open)>
                    <button
                        class="button button--quiet"
                        data-command="acknowledge"
                        data-testid="acknowledge"
                        title="Acknowledge (a)"
                        disabled=move || !live.may_operate()
                        on:click=move |_| live.order(Command::Acknowledge { incident: acknowledge.get_value() })
                    >
                        <Icon symbol=Symbol::Check />
                        "Ack"
                    </button>
                </Show>
            </div>
        </li>
    }
}

#[component]
fn Facts(incident: IncidentSummary) -> impl IntoView {
    let cause = match incident.cause {
        Some(cause) => view! {
            <span>"Cause " <b>{cause.to_string()}</b></span>
            <Confidence value=incident.confidence label="" />
        }
        .into_any(),
        None => view! { <span>"No single cause"</span> }.into_any(),
    };
    view! {
        {cause}
        <span>{format::plural(u64::from(incident.entities), "entity", "entities")}</span>
        <span>{format::plural(incident.alerts, "alert", "alerts")}</span>
    }
}
