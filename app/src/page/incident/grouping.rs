//! What belongs together is for a person to say: two incidents are one, one is two, and taking either back.

use crate::state::live;
use leptos::prelude::*;
use leptos_router::components::A;
use std::collections::BTreeSet;
use wire::command::Command;
use wire::incident::{IncidentDetail, IncidentState};
use wire::{EntityId, IncidentId};

/// What a recording tells is of another time than all the rest, and never one with it.
const RECORDED: &str = "replay";

/// Entities offered to be split off, at most.
const OFFERED: usize = 12;

#[component]
pub(super) fn Grouping(detail: Memo<Option<IncidentDetail>>) -> impl IntoView {
    let live = live();
    let id = Memo::new(move |_| detail.with(|d| d.as_ref().map(|d| d.summary.id.clone())));
    let merged_into = Memo::new(move |_| detail.with(|d| d.as_ref().and_then(|d| d.merged_into.clone())));
    let is_open =
        Memo::new(move |_| detail.with(|d| d.as_ref().is_some_and(|d| d.summary.state != IncidentState::Resolved)));
    let entities = Memo::new(move |_| {
        detail.with(|d| {
            let members = d.iter().flat_map(|d| &d.members);
            members
                .map(|member| member.entity.clone())
                .collect::<BTreeSet<EntityId>>()
        })
    });
    let is_recorded = Memo::new(move |_| detail.with(|d| d.as_ref().is_some_and(|d| d.summary.source == RECORDED)));
    let others = Memo::new(move |_| {
        let own = id.get();
        live.incidents.with(|all| {
            let open = all.iter().filter(|i| i.state != IncidentState::Resolved);
            let others = open.filter(|i| Some(&i.id) != own.as_ref());
            let others = others.filter(|i| (i.source == RECORDED) == is_recorded.get());
            others.map(|i| (i.id.clone(), i.title.clone())).collect::<Vec<_>>()
        })
    });
    let may_group =
        Memo::new(move |_| is_open.get() && (entities.with(BTreeSet::len) > 1 || !others.with(Vec::is_empty)));
    move || {
        let incident = id.get()?;
        if let Some(home) = merged_into.get() {
            return Some(view! { <Parted incident home /> }.into_any());
        }
        may_group.get().then(|| {
            view! {
                <section class="card manage" aria-labelledby="grouping" data-testid="grouping">
                    <h2 class="card__title" id="grouping">"Is it one incident?"</h2>
                    <Show when=move || entities.with(|all| all.len() > 1)>
                        <div class="manage__line">
                            <span class="manage__label">"Split off"</span>
                            <SplitOff incident=id entities />
                        </div>
                    </Show>
                    <Show when=move || !others.with(Vec::is_empty)>
                        <div class="manage__line">
                            <span class="manage__label">"Merge into"</span>
                            <MergeInto incident=id others />
                        </div>
                    </Show>
                </section>
            }
            .into_any()
        })
    }
}

/// A button for each entity.
#[component]
fn SplitOff(incident: Memo<Option<IncidentId>>, entities: Memo<BTreeSet<EntityId>>) -> impl IntoView {
    let live = live();
    let split = move |entity: EntityId| {
        if let Some(incident) = incident.get_untracked() {
            let entities = vec![entity];
            live.order(Command::Split { incident, entities });
        }
    };
    move || {
        let offered = entities.get().into_iter().take(OFFERED);
        offered
            .map(|entity| {
                let (name, mark) = (entity.to_string(), format!("split-{entity}"));
                view! {
                    <button
                        class="button button--quiet manage__name"
                        data-testid=mark
                        disabled=move || !live.may_operate()
                        on:click=move |_| split(entity.clone())
                    >
                        {name}
                    </button>
                }
            })
            .collect_view()
    }
}

/// A button for each other open incident.
#[component]
fn MergeInto(incident: Memo<Option<IncidentId>>, others: Memo<Vec<(IncidentId, String)>>) -> impl IntoView {
    let live = live();
    let merge = move |into: IncidentId| {
        if let Some(incident) = incident.get_untracked() {
            live.order(Command::Merge { incident, into });
        }
    };
    move || {
        let offered = others.get().into_iter().take(OFFERED);
        offered
            .map(|(into, title)| {
                let (name, mark) = (into.to_string(), format!("merge-{into}"));
                view! {
                    <button
                        class="button button--quiet manage__name"
                        title=title
                        data-testid=mark
                        disabled=move || !live.may_operate()
                        on:click=move |_| merge(into.clone())
                    >
                        {name}
                    </button>
                }
            })
            .collect_view()
    }
}

/// Where it went, and the way back.
#[component]
fn Parted(incident: IncidentId, home: IncidentId) -> impl IntoView {
    let live = live();
    let href = format!("/incidents/{home}");
    let unmerge = move |_| {
        live.order(Command::Unmerge {
            incident: incident.clone(),
        });
    };
    view! {
        <section class="card manage" aria-labelledby="grouping" data-testid="grouping">
            <h2 class="card__title" id="grouping">"It went into another one"</h2>
            <div class="manage__line">
                <A href=href attr:class="link mono">{home.to_string()}</A>
                <button
                    class="button button--quiet"
                    data-testid="unmerge"
                    disabled=move || !live.may_operate()
                    on:click=unmerge
                >
                    "Part them again"
                </button>
            </div>
        </section>
    }
}
