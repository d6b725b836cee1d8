//! Who works on it, how bad it is, whether people hear of it: what a person decides about an incident.

use crate::component::{Icon, Symbol};
use crate::format;
use crate::state::live;
use leptos::prelude::*;
use wire::IncidentId;
use wire::command::Command;
use wire::incident::{IncidentState, IncidentSummary, Severity};

const MINUTE_MS: i64 = 60_000;

/// How long an incident can be put off.
const SNOOZES: [(&str, i64); 4] = [
    ("30 min", 30 * MINUTE_MS),
    ("2 h", 120 * MINUTE_MS),
    ("8 h", 480 * MINUTE_MS),
    ("1 day", 1440 * MINUTE_MS),
];

#[component]
pub(super) fn Manage(summary: Memo<Option<IncidentSummary>>) -> impl IntoView {
    let pick = move |f: fn(&IncidentSummary) -> bool| Memo::new(move |_| summary.with(|s| s.as_ref().is_some_and(f)));
    let is_open = pick(|s| s.state != IncidentState::Resolved);
    view! {
        <section class="card manage" aria-labelledby="manage" data-testid="manage">
            <h2 class="card__title" id="manage">"In whose hands"</h2>
            <Assignee summary />
            <Show when=move || is_open.get() fallback=move || view! { <Reopen summary /> }>
                <Grade summary />
                <Snooze summary />
            </Show>
        </section>
    }
}

fn id_of(summary: Memo<Option<IncidentSummary>>) -> Option<IncidentId> {
    summary.with_untracked(|s| s.as_ref().map(|s| s.id.clone()))
}

#[component]
fn Assignee(summary: Memo<Option<IncidentSummary>>) -> impl IntoView {
    let live = live();
    let assignee = Memo::new(move |_| summary.with(|s| s.as_ref().and_then(|s| s.assignee.clone())));
    let me = Memo::new(move |_| live.status.with(|s| s.identity.name.clone()));
    let assign = move |to: Option<String>| {
        if let Some(incident) = id_of(summary) {
            live.order(Command::Assign { incident, to });
        }
    };
    view! {
        <div class="manage__line">
            <span class="manage__who" data-testid="assignee">
                <Icon symbol=Symbol::Person />
                {move || assignee.get().unwrap_or_else(|| "Nobody yet".to_owned())}
            </span>
            <Show when=move || assignee.get() != Some(me.get())>
                <button
                    class="button button--quiet"
                    data-command="take"
                    data-testid="take"
                    disabled=move || !live.may_operate()
                    on:click=move |_| assign(Some(me.get_untracked()))
                >
                    "Take it"
                    <kbd>"m"</kbd>
                </button>
            </Show>
            <Show when=move || assignee.get().is_some()>
                <button
                    class="button button--quiet"
                    data-testid="unassign"
                    disabled=move || !live.may_operate()
                    on:click=move |_| assign(None)
                >
                    "Hand back"
                </button>
            </Show>
        </div>
    }
}

#[component]
fn Grade(summary: Memo<Option<IncidentSummary>>) -> impl IntoView {
    let live = live();
    let now = Memo::new(move |_| summary.with(|s| s.as_ref().map(|s| s.severity)));
    let set = move |severity: Option<Severity>| {
        if let Some(incident) = id_of(summary) {
            live.order(Command::SetSeverity { incident, severity });
        }
    };
    view! {
        <div class="manage__line">
            <span class="manage__label" id="grade">"Severity"</span>
            <div class="segments" role="group" aria-labelledby="grade">
                {[Severity::P1, Severity::P2, Severity::P3, Severity::P4]
                    .map(|severity| {
                        let name = format!("{severity:?}");
                        view! {
                            <button
                                aria-pressed=move || (now.get() == Some(severity)).to_string()
                                disabled=move || !live.may_operate()
                                data-testid=format!("grade-{}", name.to_lowercase())
                                on:click=move |_| set(Some(severity))
                            >
                                {name.clone()}
                            </button>
                        }
                    })
                    .collect_view()}
            </div>
        </div>
    }
}

#[component]
fn Snooze(summary: Memo<Option<IncidentSummary>>) -> impl IntoView {
    let live = live();
    let until = Memo::new(move |_| {
        let until = summary.with(|s| s.as_ref().and_then(|s| s.snoozed_until));
        until.filter(|until| *until > live.now())
    });
    let snooze = move |for_ms: Option<i64>| {
        if let Some(incident) = id_of(summary) {
            let until = for_ms.map(|ms| live.now() + ms);
            live.order(Command::Snooze { incident, until });
        }
    };
    view! {
        <div class="manage__line">
            <span class="manage__label" id="snooze">"Put off"</span>
            <Show
                when=move || until.get().is_none()
                fallback=move || view! {
                    <span data-testid="snoozed">
                        {move || until.get().map(|until| format!("nobody is told for {}", format::duration(until.millis_since(live.now()))))}
                    </span>
                    <button
                        class="button button--quiet"
                        data-testid="unsnooze"
                        disabled=move || !live.may_operate()
                        on:click=move |_| snooze(None)
                    >
                        "Tell people again"
                    </button>
                }
            >
                <div class="segments" role="group" aria-labelledby="snooze">
                    {SNOOZES
                        .map(|(label, ms)| view! {
                            <button
                                disabled=move || !live.may_operate()
                                data-testid=format!("snooze-{}", label.replace(' ', "-"))
                                on:click=move |_| snooze(Some(ms))
                            >
                                {label}
                            </button>
                        })
                        .collect_view()}
                </div>
            </Show>
        </div>
    }
}

#[component]
fn Reopen(summary: Memo<Option<IncidentSummary>>) -> impl IntoView {
    let live = live();
    let reopen = move |_| {
        if let Some(incident) = id_of(summary) {
            live.order(Command::Reopen { incident });
        }
    };
    view! {
        <div class="manage__line">
            <span class="card__quiet">"It is over"</span>
            <button
                class="button button--quiet"
                data-testid="reopen"
                disabled=move || !live.may_operate()
                on:click=reopen
            >
                "Open again"
            </button>
        </div>
    }
}

/// A line for the timeline.
#[component]
pub(super) fn Comment(summary: Memo<Option<IncidentSummary>>) -> impl IntoView {
    let live = live();
    let text = RwSignal::new(String::new());
    let send = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        let said = text.get_untracked();
        if let Some(incident) = id_of(summary).filter(|_| !said.trim().is_empty()) {
            let command = Command::Comment { incident, text: said };
            live.order_then(command, move |done| {
                if done {
                    text.set(String::new());
                }
            });
        }
    };
    view! {
        <form class="comment" on:submit=send>
            <input
                class="field"
                type="text"
                aria-label="Comment"
                placeholder="Say what you see or do…"
                maxlength="2000"
                data-testid="comment"
                prop:value=move || text.get()
                on:input=move |event| text.set(event_target_value(&event))
                disabled=move || !live.may_operate()
            />
            <button class="button" data-testid="comment-send" disabled=move || !live.may_operate()>"Comment"</button>
        </form>
    }
}
