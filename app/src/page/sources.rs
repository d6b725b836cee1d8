//! Where the data comes from, what was refused and why, which models judge it.

mod protection;
mod verdicts;

use crate::component::{Empty, Icon, Stat, Symbol, Waiting, source_state};
use crate::format;
use crate::state::live;
use leptos::prelude::*;
use protection::ProtectionCard;
use verdicts::VerdictCard;
use wire::status::{Model, Source};

#[component]
pub(crate) fn Sources() -> impl IntoView {
    super::set_title(|| "Sources".to_owned());
    let live = live();
    let sources = Memo::new(move |_| live.status.with(|s| s.sources.clone()));
    let models = Memo::new(move |_| live.status.with(|s| s.models.clone()));
    view! {
        <div class="page">
            <header class="page__head"><h1>"Sources"</h1></header>
            <Waiting>
                <Loop />
                <ProtectionCard />
                <Show
                    when=move || !sources.with(Vec::is_empty)
                    fallback=|| view! {
                        <section class="card">
                            <Empty symbol=Symbol::Source title="No sources" text="Point a Prometheus here, replay a recording, or switch host metrics on." />
                        </section>
                    }
                >
                    <ul class="sources" data-testid="sources">
                        {move || sources.get().into_iter().map(|source| view! { <SourceCard source /> }).collect_view()}
                    </ul>
                </Show>
                <div class="sources__row">
                    <Connect />
                    <section class="card" aria-labelledby="models" data-testid="models">
                        <h2 class="card__title" id="models">"Models"</h2>
                        <ul class="rows">
                            {move || models.get().into_iter().map(|model| view! { <ModelLine model /> }).collect_view()}
                        </ul>
                    </section>
                    <VerdictCard />
                </div>
            </Waiting>
        </div>
    }
}

#[component]
fn Loop() -> impl IntoView {
    let live = live();
    view! {
        <section class="stats" aria-label="The loop">
            <Stat
                label="Samples"
                value=Signal::derive(move || live.status.with(|s| format::short_count(s.samples)))
                note=Signal::derive(move || live.status.with(|s| format!("{} per second", format::si(s.samples_per_sec))))
                testid="loop-samples"
            />
            <Stat
                label="Series"
                value=Signal::derive(move || live.status.with(|s| format::count(s.series)))
                note=Signal::derive(move || live.status.with(|s| format!("{} still learning", format::count(s.warming))))
                testid="loop-series"
            />
            <Stat
                label="Anomalous samples"
                value=Signal::derive(move || live.status.with(|s| format::short_count(s.anomalies)))
                note=Signal::derive(move || live.status.with(|s| format!("in {}", format::plural(s.alerts, "alert", "alerts"))))
                testid="loop-anomalies"
            />
            <Stat
                label="Provisional signals"
                value=Signal::derive(move || live.status.with(|s| format::count(s.provisional.raised)))
                note=Signal::derive(move || live.status.with(|s| format!(
                    "{} confirmed, {} dropped",
                    format::count(s.provisional.confirmed),
                    format::count(s.provisional.dropped)
                )))
                testid="loop-provisional"
            />
            <Stat
                label="Incidents"
                value=Signal::derive(move || live.status.with(|s| format::count(s.incidents)))
                note=Signal::derive(move || live.status.with(|s| format!(
                    "target {} false a series and day",
                    format::si(s.false_alerts_per_series_per_day)
                )))
                testid="loop-incidents"
            />
            <Stat
                label="Running for"
                value=Signal::derive(move || format::duration(live.now().millis_since(live.status.with(|s| s.started))))
                note=Signal::derive(move || live.status.with(|s| format!("Halo {}", s.version)))
                testid="loop-uptime"
            />
        </section>
    }
}

#[component]
fn SourceCard(source: Source) -> impl IntoView {
    let live = live();
    let (class, word) = source_state(source.state);
    let last = source.last_seen;
    view! {
        <li class="card source" data-testid="source" data-name=source.name.clone() data-state=class>
            <div class="card__head">
                <h2 class="card__title">{source.name.clone()}</h2>
                <span class="source__state"><span class=format!("pulse pulse--{class}") aria-hidden="true"></span>{word}</span>
            </div>
            <dl class="source__facts">
                <div><dt>"Samples"</dt><dd class="num" data-testid="source-samples">{format::count(source.samples)}</dd></div>
                <div><dt>"Series"</dt><dd class="num">{format::count(source.series)}</dd></div>
                {(source.records > 0).then(|| view! {
                    <div><dt>"Lines and spans"</dt><dd class="num" data-testid="source-records">{format::count(source.records)}</dd></div>
                })}
                {(source.events > 0).then(|| view! {
                    <div><dt>"Events"</dt><dd class="num" data-testid="source-events">{format::count(source.events)}</dd></div>
                })}
                <div>
                    <dt>"Last arrival"</dt>
                    <dd class="num">
                        {move || last.map_or_else(|| "never".to_owned(), |at| format::relative(at, live.now()))}
                    </dd>
                </div>
            </dl>
            {(!source.note.is_empty()).then(|| view! { <p class="card__quiet">{source.note.clone()}</p> })}
            <h3 class="source__title">"Refused"</h3>
            {if source.rejected.is_empty() {
                view! { <p class="card__quiet">"Nothing"</p> }.into_any()
            } else {
                view! {
                    <ul class="source__rejected">
                        {source.rejected.iter().map(|(reason, n)| view! {
                            <li><span>{reason.replace('_', " ")}</span><span class="num">{format::count(*n)}</span></li>
                        }).collect_view()}
                    </ul>
                }
                .into_any()
            }}
        </li>
    }
}

/// What to paste into Prometheus, with the address this page came from.
#[component]
fn Connect() -> impl IntoView {
    let origin = window().location().origin().ok().filter(|o| o.starts_with("http"));
    let origin = origin.unwrap_or_else(|| "http://127.0.0.1:7700".to_owned());
    let write = format!("remote_write:\n  - url: {origin}/api/v1/write");
    let otlp = format!("OTEL_EXPORTER_OTLP_ENDPOINT={origin}\nOTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf");
    let host = origin.split("://").nth(1).unwrap_or(&origin);
    let alerts = format!("alerting:\n  alertmanagers:\n    - static_configs:\n        - targets: [\"{host}\"]");
    let firehose = format!("{origin}/api/webhooks/firehose");
    let deploy = format!(
        "curl -X POST {origin}/api/deploys \\\n  -H 'content-type: application/json' \\\n  -d '{{\"entity\": \"checkout\", \"version\": \"v2.3\"}}'"
    );
    view! {
        <section class="card" aria-labelledby="connect" data-testid="connect">
            <h2 class="card__title" id="connect">"Connect"</h2>
            <Snippet title="Prometheus, in prometheus.yml" text=write />
            <Snippet title="Its alerts too, in prometheus.yml" text=alerts />
            <Snippet title="Grafana, the URL of a data source of type Prometheus" text=origin.clone() />
            <Snippet title="OpenTelemetry, in the environment of an application" text=otlp />
            <Snippet title="CloudWatch metric streams, the endpoint of a Firehose" text=firehose />
            <Snippet title="Deploys, from your pipeline" text=deploy />
        </section>
    }
}

#[component]
fn Snippet(title: &'static str, text: String) -> impl IntoView {
    let copied = RwSignal::new(false);
    let content = text.clone();
    let copy = move |_| {
        let promise = window().navigator().clipboard().write_text(&content);
        leptos::task::spawn_local(async move {
            copied.set(wasm_bindgen_futures::JsFuture::from(promise).await.is_ok());
        });
    };
    view! {
        <div class="snippet">
            <div class="snippet__head">
                <h3>{title}</h3>
                <button class="button button--quiet" on:click=copy>
                    <Icon symbol=Symbol::Copy />
                    {move || if copied.get() { "Copied" } else { "Copy" }}
                </button>
            </div>
            <pre class="code" tabindex="0">{text}</pre>
        </div>
    }
}

#[component]
fn ModelLine(model: Model) -> impl IntoView {
    view! {
        <li class="model" data-testid="model">
            <b>{model.name}</b>
            <span class="card__quiet">"version " {model.version}</span>
            <span class="mono model__hash" title=model.hash.clone()>{format::short_hash(&model.hash)}</span>
            <p class="card__quiet">{model.note}</p>
        </li>
    }
}
