//! An incident in a list.

use super::badge::severity_class;
use super::{Confidence, Icon, IncidentStateBadge, SeverityBadge, Symbol};
use crate::format;
use crate::state::live;
use leptos::prelude::*;
use leptos_router::components::A;
use wire::command::Command;
use wire::incident::{IncidentState, IncidentSummary};

/// One row: what, since when, why, how far it reaches, and the button to acknowledge it.
#[component]
pub(crate) fn IncidentRow(incident: IncidentSummary) -> impl IntoView {
    let live = live();
    let id = incident.id.clone();
    let source = incident.source.clone();
    let (started, ended) = (incident.started, incident.ended);
    let age = move || format::duration(ended.unwrap_or_else(|| live.now_of(&source)).millis_since(started));
    let may_acknowledge = incident.state == IncidentState::Open;
    let acknowledge = move |_| live.order(Command::Acknowledge { incident: id.clone() });
    view! {
        <li
            class=format!("incident-row incident-row--{}", severity_class(incident.severity))
            data-row=""
            data-testid="incident-row"
            data-id=incident.id.to_string()
        >
            <SeverityBadge severity=incident.severity />
            <div class="incident-row__what">
                <A href=format!("/incidents/{}", incident.id) attr:class="incident-row__title">
                    {incident.title.clone()}
                </A>
                <div class="incident-row__facts">
                    <span class="mono">{incident.id.to_string()}</span>
                    {match &incident.cause {
                        Some(cause) => view! {
                            <span>"Cause " <b>{cause.to_string()}</b></span>
                            <Confidence value=incident.confidence label="" />
                        }.into_any(),
                        None => view! { <span>"No single cause"</span> }.into_any(),
                    }}
                    <span>{format::plural(u64::from(incident.entities), "entity", "entities")}</span>
                    <span>{format::plural(incident.alerts, "alert", "alerts")}</span>
                </div>
            </div>
            <IncidentStateBadge state=incident.state />
            <span class="incident-row__age num" title="Duration">{age}</span>
            <div class="incident-row__act">
                {may_acknowledge.then(|| view! {
                    <button
                        class="button button--quiet"
                        data-command="acknowledge"
                        data-testid="acknowledge"
                        title="Acknowledge (a)"
                        disabled=move || !live.may_operate()
                        on:click=acknowledge
                    >
                        <Icon symbol=Symbol::Check />
                        "Ack"
                    </button>
                })}
            </div>
        </li>
    }
}
