//! Proposals: what would run, why, at what risk; the decision; what came of it; who did what.

use crate::clock;
use crate::component::{Empty, Failed, Icon, ProposalStateBadge, RiskBadge, Skeleton, Symbol, Waiting};
use crate::format;
use crate::state::live;
use crate::state::remote::remote;
use leptos::prelude::*;
use leptos_router::components::A;
use leptos_router::hooks::use_query_map;
use wire::ProposalId;
use wire::command::Command;
use wire::proposal::{AuditEntry, Proposal, ProposalState};
use wire::query::{Query, Reply};

#[component]
pub(crate) fn Approvals() -> impl IntoView {
    super::set_title(|| "Approvals".to_owned());
    let live = live();
    let query = use_query_map();
    let chosen = Memo::new(move |_| {
        let wanted = query.with(|q| q.get("proposal"));
        live.proposals.with(|all| match wanted {
            Some(id) => all.iter().find(|p| p.id.as_str() == id).cloned(),
            None => all
                .iter()
                .find(|p| p.state == ProposalState::Pending)
                .or(all.first())
                .cloned(),
        })
    });
    view! {
        <div class="page">
            <header class="page__head">
                <h1>"Approvals"</h1>
                <p class="page__note">"Nothing acts without a person. What runs is what was seen: the plan is named by its hash."</p>
            </header>
            <Waiting>
                <Show
                    when=move || !live.proposals.with(Vec::is_empty)
                    fallback=|| view! {
                        <section class="card">
                            <Empty
                                symbol=Symbol::Approval
                                title="No proposals yet"
                                text="When a playbook fits an incident or a prediction, and policy has had its say, the plan appears here for a decision."
                                testid="no-proposals"
                            />
                        </section>
                    }
                >
                    <div class="approvals">
                        <Queue chosen />
                        {move || match chosen.get() {
                            Some(proposal) => view! { <Plan proposal /> }.into_any(),
                            None => view! {
                                <section class="card">
                                    <Empty symbol=Symbol::Search title="No such proposal" text="It may be older than what is kept. Choose another one." />
                                </section>
                            }.into_any(),
                        }}
                    </div>
                </Show>
                <Audit />
            </Waiting>
        </div>
    }
}

/// Waiting ones first, then the rest, newest first.
#[component]
fn Queue(chosen: Memo<Option<Proposal>>) -> impl IntoView {
    let live = live();
    let list = Memo::new(move |_| {
        let mut list = live.proposals.get();
        list.sort_by(|a, b| {
            let waits = |p: &Proposal| p.state == ProposalState::Pending;
            waits(b)
                .cmp(&waits(a))
                .then(b.created.cmp(&a.created))
                .then(b.id.cmp(&a.id))
        });
        list
    });
    let chosen_id = Memo::new(move |_| chosen.with(|c| c.as_ref().map(|c| c.id.clone())));
    view! {
        <section class="card card--flush queue" aria-label="Proposals">
            <ul class="rows" data-testid="proposal-list">
                <For each=move || list.get() key=|p| (p.id.clone(), format!("{:?}", p.state)) let:proposal>
                    <QueueItem proposal chosen_id />
                </For>
            </ul>
        </section>
    }
}

#[component]
fn QueueItem(proposal: Proposal, chosen_id: Memo<Option<ProposalId>>) -> impl IntoView {
    let live = live();
    let id = proposal.id.clone();
    let expires = proposal.expires;
    let waiting = proposal.state == ProposalState::Pending;
    let href = format!("/approvals?proposal={id}");
    let shown_id = id.to_string();
    let current = move || (chosen_id.with(|c| c.as_ref() == Some(&id))).then_some("true");
    view! {
        <li class="queue__item" data-row="" data-testid="proposal-row" data-id=shown_id aria-current=current>
            // Not the router's link: that one calls every row current, whatever its query says.
            <a href=href class="queue__title">{proposal.title}</a>
            <div class="queue__facts">
                <ProposalStateBadge state=proposal.state />
                <RiskBadge risk=proposal.risk />
                {waiting
                    .then(|| {
                        view! {
                            <span class="num queue__expiry" title="Expires in">
                                {move || format::countdown(expires, live.now())}
                            </span>
                        }
                    })}
            </div>
        </li>
    }
}

#[component]
fn Plan(proposal: Proposal) -> impl IntoView {
    let target = proposal.target.clone();
    let decided = proposal.clone();
    view! {
        <section class="card plan" aria-labelledby="plan" data-testid="proposal" data-id=proposal.id.to_string()>
            <div class="plan__head">
                <div>
                    <div class="incident-row__facts">
                        <span class="mono">{proposal.id.to_string()}</span>
                        <span>"playbook " <b>{proposal.playbook.clone()}</b></span>
                        {proposal.incident.clone().map(|id| view! {
                            <span>"for " <A href=format!("/incidents/{id}") attr:class="link">{id.to_string()}</A></span>
                        })}
                        {proposal.prediction.as_ref().map(|id| view! { <span>"for prediction " <span class="mono">{id.to_string()}</span></span> })}
                    </div>
                    <h2 id="plan">{proposal.title.clone()}</h2>
                </div>
                <ProposalStateBadge state=proposal.state.clone() />
            </div>
            <Outcome state=proposal.state.clone() />
            <dl class="facts">
                <div>
                    <dt>"Target"</dt>
                    <dd>
                        <A href=format!("/topology?entity={}", super::encode(target.as_str())) attr:class="link">
                            {target.to_string()}
                        </A>
                    </dd>
                </div>
                <div><dt>"Risk"</dt><dd><RiskBadge risk=proposal.risk /></dd></div>
                <div><dt>"Expected effect"</dt><dd>{proposal.expected_effect.clone()}</dd></div>
                <div><dt>"How to undo it"</dt><dd>{proposal.inverse.clone()}</dd></div>
            </dl>
            <h3>"Policy"</h3>
            <ul class="reasons" data-testid="policy">
                {proposal
                    .policy
                    .reasons
                    .iter()
                    .map(|reason| {
                        view! {
                            <li class:reasons__deny=!proposal.policy.allowed>
                                <Icon symbol=if proposal.policy.allowed { Symbol::Check } else { Symbol::Close } />
                                {reason.clone()}
                            </li>
                        }
                    })
                    .collect_view()}
                <li class="card__quiet">"policy " <span class="mono">{format::short_hash(&proposal.policy.policy_hash)}</span></li>
            </ul>
            <h3>"Dry run"</h3>
            <ol class="steps">
                {proposal
                    .steps
                    .iter()
                    .map(|step| {
                        view! {
                            <li>
                                <p>{step.summary.clone()} <span class="tag">{step.executor.clone()}</span></p>
                                <pre class="code" tabindex="0" data-testid="dry-run">{step.dry_run.clone()}</pre>
                            </li>
                        }
                    })
                    .collect_view()}
            </ol>
            <Decision proposal=decided />
        </section>
    }
}

/// What became of it.
#[component]
fn Outcome(state: ProposalState) -> impl IntoView {
    let when = |at: wire::Timestamp| format::date_clock(at, clock::zone_offset_minutes(at.as_millis()));
    let (class, text) = match state {
        ProposalState::Pending => return ().into_any(),
        ProposalState::Denied => (
            "denied",
            "Policy forbids this plan; it is shown so that you see what was considered.".to_owned(),
        ),
        ProposalState::Approved { by, at } => ("running", format!("Approved by {by} at {}", when(at))),
        ProposalState::Rejected { by, at, reason } => {
            let because = if reason.is_empty() {
                String::new()
            } else {
                format!(": {reason}")
            };
            ("denied", format!("Rejected by {by} at {}{because}", when(at)))
        }
        ProposalState::Running { since } => ("running", format!("Running since {}", when(since))),
        ProposalState::Succeeded { at, outcome } => ("succeeded", format!("{outcome} ({})", when(at))),
        ProposalState::Failed { at, outcome } => ("failed", format!("{outcome} ({})", when(at))),
        ProposalState::Expired { at } => (
            "denied",
            format!("Nobody decided, or the plan no longer fitted, by {}", when(at)),
        ),
    };
    view! { <p class=format!("outcome outcome--{class}") role="status" data-testid="outcome">{text}</p> }.into_any()
}

/// Approve names the hash of the plan on screen; Reject may say why.
#[component]
fn Decision(proposal: Proposal) -> impl IntoView {
    let live = live();
    if proposal.state != ProposalState::Pending {
        return ().into_any();
    }
    let rejecting = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let reason = RwSignal::new(String::new());
    let (id, hash) = (proposal.id.clone(), proposal.plan_hash.clone());
    let approve = move |_| {
        busy.set(true);
        let order = Command::Approve {
            proposal: id.clone(),
            plan_hash: hash.clone(),
        };
        live.order_then(order, move |_| {
            // The page may have moved on to another proposal.
            let _ = busy.try_set(false);
        });
    };
    let id = proposal.id.clone();
    let reject = move || {
        let order = Command::Reject {
            proposal: id.clone(),
            reason: reason.get_untracked(),
        };
        live.order(order);
    };
    let kill_switch = move || live.status.with(|s| s.kill_switch);
    let expires = proposal.expires;
    let reject_on_submit = reject.clone();
    view! {
        <div class="decision">
            <Show when=kill_switch>
                <p class="outcome outcome--failed" data-testid="kill-switch-note">
                    "The kill switch is on: an approved action would be refused."
                </p>
            </Show>
            <div class="decision__line">
                <button
                    class="button button--primary"
                    data-command="approve"
                    data-testid="approve"
                    disabled=move || busy.get() || !live.may_operate()
                    on:click=approve
                >
                    <Icon symbol=Symbol::Check />
                    "Approve and run"
                    <kbd>"y"</kbd>
                </button>
                <button
                    class="button"
                    data-command="reject"
                    data-testid="reject"
                    aria-expanded=move || rejecting.get().to_string()
                    disabled=move || !live.may_operate()
                    on:click=move |_| rejecting.update(|r| *r = !*r)
                >
                    "Reject…"
                    <kbd>"x"</kbd>
                </button>
                <span class="card__quiet num">
                    "plan " <span class="mono">{format::short_hash(&proposal.plan_hash)}</span> " · expires in "
                    {move || format::countdown(expires, live.now())}
                </span>
            </div>
            <Show when=move || rejecting.get()>
                {
                    let reject = reject_on_submit.clone();
                    view! {
                        <form
                            class="decision__line"
                            on:submit=move |event| {
                                event.prevent_default();
                                reject();
                            }
                        >
                            <input
                                class="field decision__reason"
                                placeholder="Why not? (kept in the audit)"
                                aria-label="Reason for rejecting"
                                autofocus
                                data-testid="reject-reason"
                                prop:value=move || reason.get()
                                on:input=move |event| reason.set(event_target_value(&event))
                            />
                            <button class="button button--danger" type="submit" data-testid="reject-confirm">"Reject"</button>
                        </form>
                    }
                }
            </Show>
        </div>
    }
    .into_any()
}

/// The newest links of the hash chain.
#[component]
fn Audit() -> impl IntoView {
    let live = live();
    let version = Memo::new(move |_| {
        live.proposals.track();
        live.incidents.track();
        live.pulse.get()
    });
    let audit = remote(
        || Some(Query::Audit { limit: Some(50) }),
        move || version.get(),
        |reply| match reply {
            Reply::Audit(entries) => Some(entries),
            _ => None,
        },
    );
    view! {
        <section class="card audit" aria-labelledby="audit" data-testid="audit">
            <div class="card__head">
                <h2 class="card__title" id="audit">"Audit"</h2>
                <span class="card__quiet">"Each line holds the hash of the one before it"</span>
            </div>
            {move || match (audit.data.get(), audit.error.get()) {
                (Some(entries), _) if entries.is_empty() => view! { <p class="card__quiet">"Nothing has been ordered yet"</p> }.into_any(),
                (Some(entries), _) => view! { <AuditTable entries /> }.into_any(),
                (None, Some(error)) => view! { <Failed error /> }.into_any(),
                (None, None) => view! { <Skeleton lines=3 /> }.into_any(),
            }}
        </section>
    }
}

#[component]
fn AuditTable(entries: Vec<AuditEntry>) -> impl IntoView {
    view! {
        <div class="table-scroll">
            <table class="table">
                <thead>
                    <tr>
                        <th>"#"</th>
                        <th>"Time"</th>
                        <th>"Who"</th>
                        <th>"What"</th>
                        <th>"Detail"</th>
                        <th>"Hash"</th>
                    </tr>
                </thead>
                <tbody>
                    {entries
                        .into_iter()
                        .map(|entry| {
                            let action = entry.action.clone();
                            view! {
                                <tr data-testid="audit-entry" data-action=action>
                                    <td class="num">{entry.seq}</td>
                                    <td class="num">{format::date_clock(entry.at, clock::zone_offset_minutes(entry.at.as_millis()))}</td>
                                    <td><b>{entry.actor}</b></td>
                                    <td>{entry.action} " " <span class="mono">{entry.subject}</span></td>
                                    <td class="table__reason">{entry.detail}</td>
                                    <td class="mono">{format::short_hash(&entry.hash)}</td>
                                </tr>
                            }
                        })
                        .collect_view()}
                </tbody>
            </table>
        </div>
    }
}
