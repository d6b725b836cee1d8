//! The command palette, which also finds incidents, entities and series; and the list of keys.

use super::dialog::Dialog;
use super::{Icon, Symbol};
use crate::command::{Command, Commander, Overlay, Section, commander};
use crate::state::live;
use crate::state::remote::remote;
use leptos::html::Input;
use leptos::prelude::*;
use wire::query::{Query, Reply};

/// What can be chosen in the palette.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Run(Command),
    Open {
        kind: &'static str,
        label: String,
        path: String,
    },
}

impl Item {
    fn label(&self) -> &str {
        match self {
            Self::Run(command) => command.label(),
            Self::Open { label, .. } => label,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Run(command) => command.section().label(),
            Self::Open { kind, .. } => kind,
        }
    }
}

const LIMIT: usize = 12;

#[component]
pub(crate) fn Palette() -> impl IntoView {
    let commander = commander();
    let open = Signal::derive(move || commander.overlay.get() == Some(Overlay::Palette));
    view! {
        <Dialog
            open
            on_close=Callback::new(move |()| commander.close_overlay())
            label="Command palette"
            class="dialog--palette"
            testid="palette"
        >
            <PaletteContent commander />
        </Dialog>
    }
}

#[component]
fn PaletteContent(commander: Commander) -> impl IntoView {
    let text = RwSignal::new(String::new());
    let at = RwSignal::new(0_usize);
    let items = palette_items(text);
    let input = NodeRef::<Input>::new();
    Effect::new(move |_| {
        if let Some(input) = input.get() {
            let _ = input.focus();
        }
    });
    let choose = move |item: Item| {
        // Closing first gives the focus back to the page, where the command looks for its button.
        commander.close_overlay();
        match item {
            Item::Run(command) => set_timeout(move || commander.run(command), std::time::Duration::ZERO),
            Item::Open { path, .. } => commander.go.set(Some(path)),
        }
    };
    let on_key = move |event: web_sys::KeyboardEvent| {
        let count = items.with(Vec::len);
        match event.key().as_str() {
            "ArrowDown" if count > 0 => at.update(|at| *at = (*at + 1) % count),
            "ArrowUp" if count > 0 => at.update(|at| *at = (*at + count - 1) % count),
            "Enter" => {
                if let Some(item) = items.with(|items| items.get(at.get_untracked()).cloned()) {
                    choose(item);
                }
            }
            _ => return,
        }
        event.prevent_default();
    };
    view! {
        <div class="palette__field">
            <Icon symbol=Symbol::Search />
            <input
                node_ref=input
                type="search"
                role="combobox"
                aria-expanded="true"
                aria-controls="palette-list"
                aria-label="Search commands, incidents, entities and metrics"
                placeholder="Search or jump to…"
                autocomplete="off"
                spellcheck="false"
                data-testid="palette-input"
                prop:value=move || text.get()
                on:input=move |event| {
                    text.set(event_target_value(&event));
                    at.set(0);
                }
                on:keydown=on_key
            />
            <kbd>"Esc"</kbd>
        </div>
        <ul class="palette__list" id="palette-list" role="listbox" data-testid="palette-list">
            {move || {
                items
                    .get()
                    .into_iter()
                    .enumerate()
                    .map(|(index, item)| {
                        let keys = match &item {
                            Item::Run(command) => command.keys(),
                            Item::Open { .. } => &[],
                        };
                        let chosen = item.clone();
                        view! {
                            <li
                                role="option"
                                class="palette__item"
                                aria-selected=move || (at.get() == index).to_string()
                                on:pointermove=move |_| {
                                    if at.get_untracked() != index {
                                        at.set(index);
                                    }
                                }
                                on:click=move |_| choose(chosen.clone())
                            >
                                <span class="palette__kind">{item.kind()}</span>
                                <span class="palette__label">{item.label().to_owned()}</span>
                                <Keys keys />
                            </li>
                        }
                    })
                    .collect_view()
            }}
        </ul>
        <Show when=move || items.with(Vec::is_empty)>
            <p class="palette__none">"Nothing matches"</p>
        </Show>
    }
}

/// Commands that can run, then things whose name holds every word.
fn palette_items(text: RwSignal<String>) -> Memo<Vec<Item>> {
    let live = live();
    let series = remote(
        move || {
            let search = text.get();
            (search.trim().len() >= 2).then_some(Query::SeriesList {
                search,
                entity: None,
                limit: Some(6),
            })
        },
        || 0,
        |reply| match reply {
            Reply::SeriesList(list) => Some(list),
            _ => None,
        },
    );
    Memo::new(move |_| {
        let search = text.get().to_lowercase();
        let mut items: Vec<Item> = Command::ALL
            .into_iter()
            .filter(|c| !matches!(c, Command::Palette | Command::Open | Command::Next | Command::Previous))
            .filter(|c| matches(c.label(), &search) && c.is_available())
            .map(Item::Run)
            .collect();
        if !search.trim().is_empty() {
            live.incidents.with(|all| {
                for incident in all {
                    let label = format!("{} {}", incident.id, incident.title);
                    if matches(&label, &search) {
                        items.push(Item::Open {
                            kind: "Incident",
                            label,
                            path: format!("/incidents/{}", incident.id),
                        });
                    }
                }
            });
            live.entities.with(|all| {
                for entity in all.iter().filter(|e| matches(e.id.as_str(), &search)) {
                    items.push(Item::Open {
                        kind: "Entity",
                        label: entity.id.to_string(),
                        path: format!("/topology?entity={}", crate::page::encode(entity.id.as_str())),
                    });
                }
            });
            for summary in series.data.get().unwrap_or_default() {
                items.push(Item::Open {
                    kind: "Metric",
                    label: format!("{} · {}", summary.info.entity, crate::page::metric_name(&summary.info)),
                    path: format!("/series/{}", summary.info.id),
                });
            }
        }
        items.truncate(LIMIT);
        items
    })
}

/// Every word of `search` occurs in `text`, whatever the case.
fn matches(text: &str, search: &str) -> bool {
    let text = text.to_lowercase();
    search.split_whitespace().all(|word| text.contains(word))
}

/// Keys as key caps.
#[component]
fn Keys(keys: &'static [&'static str]) -> impl IntoView {
    view! {
        <span class="keys">
            {keys
                .iter()
                .map(|key| {
                    let cap = match *key {
                        " " => "Space",
                        "Escape" => "Esc",
                        other => other,
                    };
                    view! { <kbd>{cap}</kbd> }
                })
                .collect_view()}
        </span>
    }
}

/// Every command with its keys.
#[component]
pub(crate) fn Help() -> impl IntoView {
    let commander = commander();
    let open = Signal::derive(move || commander.overlay.get() == Some(Overlay::Help));
    view! {
        <Dialog
            open
            on_close=Callback::new(move |()| commander.close_overlay())
            label="Keyboard help"
            class="dialog--help"
            testid="help"
        >
            <h2>"Keyboard"</h2>
            <div class="help__columns">
                {Section::ALL
                    .map(|section| {
                        view! {
                            <section>
                                <h3>{section.label()}</h3>
                                <dl>
                                    {Command::ALL
                                        .into_iter()
                                        .filter(|c| c.section() == section && !c.keys().is_empty())
                                        .map(|c| {
                                            view! {
                                                <div>
                                                    <dt>{c.label()}</dt>
                                                    <dd><Keys keys=c.keys() /></dd>
                                                </div>
                                            }
                                        })
                                        .collect_view()}
                                </dl>
                            </section>
                        }
                    })
                    .collect_view()}
            </div>
        </Dialog>
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn every_word_must_occur() {
        assert!(matches(
            "INC-000001 petsearch latency",
            "LAT petsearch".to_lowercase().as_str()
        ));
        assert!(!matches("petsearch latency", "petsearch disk"));
        assert!(matches("anything", ""));
    }
}
