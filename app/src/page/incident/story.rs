//! The explanation: three claims, the counterfactual, the path, the other suspects, the course of events.

use crate::clock;
use crate::component::{Confidence, Icon, Symbol};
use crate::format;
use leptos::prelude::*;
use leptos_router::components::A;
use wire::EntityId;
use wire::incident::{Cause, Claim, Story, TimelineEntry};

/// Cause, critical failure, impact: each a sentence with its confidence and its evidence.
#[component]
pub(super) fn StoryCard(story: Memo<Option<Story>>) -> impl IntoView {
    view! {
        <section class="card" aria-labelledby="story" data-testid="story">
            <h2 class="card__title" id="story">"What happened"</h2>
            {move || story.get().map(|story| view! { <Claims story /> })}
        </section>
    }
}

#[component]
fn Claims(story: Story) -> impl IntoView {
    view! {
            <ol class="story">
                <Step label="Root cause" class="cause" claim=story.cause />
                <Step label="Critical failure" class="failure" claim=story.critical_failure />
                <Step label="Impact" class="impact" claim=story.impact />
            </ol>
            <Path path=story.path />
            {(!story.counterfactual.text.is_empty())
                .then(|| {
                    let claim = story.counterfactual;
                    view! {
                        <div class="counterfactual" data-testid="counterfactual">
                            <h3>"What if"</h3>
                            <p>{claim.text}</p>
                            <Confidence value=claim.confidence />
                        </div>
                    }
                })}
    }
}

#[component]
fn Step(label: &'static str, class: &'static str, claim: Claim) -> impl IntoView {
    view! {
        <li class=format!("story__step story__step--{class}") data-testid=format!("story-{class}")>
            <h3>{label}</h3>
            <p>{if claim.text.is_empty() { "Not known yet".to_owned() } else { claim.text }}</p>
            <div class="story__foot">
                <Confidence value=claim.confidence />
                {claim
                    .evidence
                    .iter()
                    .enumerate()
                    .map(|(at, series)| {
                        view! {
                            <A href=format!("/series/{series}") attr:class="link story__evidence">
                                <Icon symbol=Symbol::Metric />
                                {if at == 0 { "Evidence".to_owned() } else { format!("{}", at + 1) }}
                            </A>
                        }
                    })
                    .collect_view()}
            </div>
        </li>
    }
}

/// The way from the cause to the user, hop by hop.
#[component]
fn Path(path: Vec<EntityId>) -> impl IntoView {
    if path.len() < 2 {
        return ().into_any();
    }
    view! {
        <div class="path" data-testid="path">
            <h3>"Propagation"</h3>
            <ol>
                {path
                    .into_iter()
                    .enumerate()
                    .map(|(at, entity)| {
                        let href = format!("/topology?entity={}", crate::page::encode(entity.as_str()));
                        view! {
                            <li>
                                {(at > 0).then(|| view! { <Icon symbol=Symbol::ArrowRight /> })}
                                <A href attr:class="path__hop">{entity.to_string()}</A>
                            </li>
                        }
                    })
                    .collect_view()}
            </ol>
        </div>
    }
    .into_any()
}

/// Candidate causes, and why the runners-up are not it.
#[component]
pub(super) fn Causes(causes: Memo<Vec<Cause>>) -> impl IntoView {
    let best = move || {
        causes
            .with(|c| c.first().map_or(1.0, |c| c.score))
            .max(f32::MIN_POSITIVE)
    };
    view! {
        <section class="card" aria-labelledby="causes" data-testid="causes">
            <h2 class="card__title" id="causes">"Suspects"</h2>
            <ol class="causes">
                {move || {
                    let best = best();
                    causes.get().into_iter().enumerate().map(|(at, cause)| view! { <Suspect at cause best /> }).collect_view()
                }}
            </ol>
        </section>
    }
}

#[component]
fn Suspect(at: usize, cause: Cause, best: f32) -> impl IntoView {
    let title = format!("{} {}", cause.entity, cause.metric);
    let name = match cause.series {
        Some(series) => view! { <A href=format!("/series/{series}") attr:class="causes__name">{title}</A> }.into_any(),
        None => view! { <span class="causes__name">{title}</span> }.into_any(),
    };
    view! {
        <li class="causes__item" data-testid="cause" data-entity=cause.entity.to_string()>
            <span class="causes__rank num">{at + 1}</span>
            <div>
                {name}
                <span class="causes__bar" aria-hidden="true">
                    <i style:width=format!("{:.0}%", cause.score / best * 100.0)></i>
                </span>
                <p>
                    <b>{if at == 0 { "Why it is: " } else { "Why not: " }}</b>
                    {cause.reason}
                </p>
            </div>
            <span class="num causes__score">{format::si(f64::from(cause.score))}</span>
        </li>
    }
}

/// Machine and people, in order.
#[component]
pub(super) fn Timeline(entries: Memo<Vec<TimelineEntry>>, children: Children) -> impl IntoView {
    view! {
        <section class="card" aria-labelledby="timeline" data-testid="timeline">
            <h2 class="card__title" id="timeline">"Timeline"</h2>
            <ol class="timeline">
                {move || entries.get().into_iter().map(|entry| view! { <Entry entry /> }).collect_view()}
            </ol>
            {children()}
        </section>
    }
}

#[component]
fn Entry(entry: TimelineEntry) -> impl IntoView {
    let human = entry.actor != "engine";
    let text = match entry.series {
        Some(series) => {
            view! { <A href=format!("/series/{series}") attr:class="timeline__link">{entry.text}</A> }.into_any()
        }
        None => entry.text.into_any(),
    };
    view! {
        <li class:timeline__human=human data-testid="timeline-entry">
            <time class="num">{format::clock(entry.at, clock::zone_offset_minutes(entry.at.as_millis()))}</time>
            <span class="timeline__dot" aria-hidden="true"></span>
            <p>{human.then(|| view! { <b>{entry.actor} " "</b> })} {text}</p>
        </li>
    }
}
