//! Every incident: open ones first, the rest below.

use crate::component::{Empty, IncidentRow, Symbol, Waiting};
use crate::format;
use crate::state::live;
use leptos::prelude::*;
use leptos_router::hooks::{use_navigate, use_query_map};
use wire::incident::{IncidentState, IncidentSummary};

#[component]
pub(crate) fn Incidents() -> impl IntoView {
    super::set_title(|| "Incidents".to_owned());
    let live = live();
    let query = use_query_map();
    let navigate = use_navigate();
    let search = Memo::new(move |_| query.with(|q| q.get("q").unwrap_or_default()));
    let state = Memo::new(move |_| query.with(|q| q.get("state").unwrap_or_default()));
    let found = Memo::new(move |_| {
        let words = search.get().to_lowercase();
        let mut list: Vec<IncidentSummary> = live.incidents.with(|all| {
            all.iter()
                .filter(|i| in_state(i, &state.get()) && mentions(i, &words))
                .cloned()
                .collect()
        });
        list.sort_by(|a, b| {
            let resolved = |i: &IncidentSummary| i.state == IncidentState::Resolved;
            resolved(a).cmp(&resolved(b)).then_with(|| {
                if resolved(a) {
                    b.started.cmp(&a.started)
                } else {
                    a.severity.cmp(&b.severity).then(b.started.cmp(&a.started))
                }
            })
        });
        list
    });
    let set = move |key: &str, value: &str| {
        let value = (!value.is_empty()).then_some(value);
        let path = query.with_untracked(|q| super::with_query("/incidents", q, key, value));
        navigate(
            &path,
            leptos_router::NavigateOptions {
                replace: true,
                scroll: false,
                ..Default::default()
            },
        );
    };
    let set_state = set.clone();
    view! {
        <div class="page">
            <header class="page__head">
                <h1>"Incidents"</h1>
                <p class="page__note">
                    {move || live.status.with(|s| format!(
                        "{} became {}",
                        format::plural(s.alerts, "alert", "alerts"),
                        format::plural(s.incidents, "incident", "incidents")
                    ))}
                </p>
                <div class="page__tools">
                    <div class="segments" role="group" aria-label="State">
                        {[("", "All"), ("open", "Open"), ("resolved", "Resolved")].map(|(value, label)| {
                            let set = set_state.clone();
                            view! {
                                <button
                                    aria-pressed=move || (state.get() == value).to_string()
                                    data-testid=format!("state-{}", if value.is_empty() { "all" } else { value })
                                    on:click=move |_| set("state", value)
                                >
                                    {label}
                                </button>
                            }
                        }).collect_view()}
                    </div>
                    <input
                        type="search"
                        class="field"
                        placeholder="Search incidents"
                        aria-label="Search incidents"
                        data-testid="incident-search"
                        prop:value=move || search.get()
                        on:input=move |event| set("q", &event_target_value(&event))
                    />
                </div>
            </header>
            <Waiting>
                <section class="card card--flush" aria-label="Incidents">
                    <Show
                        when=move || !found.with(Vec::is_empty)
                        fallback=move || {
                            let filtered = !search.get().is_empty() || !state.get().is_empty();
                            if filtered {
                                view! { <Empty symbol=Symbol::Search title="No incident matches" text="Clear the search or choose another state." /> }
                            } else {
                                view! { <Empty symbol=Symbol::Check title="No incidents" text="When two models agree that something is wrong, the incident appears here with its cause." /> }
                            }
                        }
                    >
                        <ul class="rows" data-testid="incident-list">
                            <For each=move || found.get() key=|i| i.id.clone() let:incident>
                                <IncidentRow id=incident.id />
                            </For>
                        </ul>
                    </Show>
                </section>
            </Waiting>
        </div>
    }
}

fn in_state(incident: &IncidentSummary, state: &str) -> bool {
    match state {
        "open" => incident.state != IncidentState::Resolved,
        "resolved" => incident.state == IncidentState::Resolved,
        _ => true,
    }
}

fn mentions(incident: &IncidentSummary, words: &str) -> bool {
    let cause = incident.cause.as_ref().map_or("", |c| c.as_str());
    let text = format!("{} {} {cause}", incident.id, incident.title).to_lowercase();
    words.split_whitespace().all(|word| text.contains(word))
}
