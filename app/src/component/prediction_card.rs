//! Something that has not happened yet, counting down.

use super::{Icon, Symbol};
use crate::format;
use crate::state::live;
use leptos::prelude::*;
use leptos_router::components::A;
use wire::prediction::Prediction;

/// A prediction with its countdown and a bar from the moment it was made to the median breach.
#[component]
pub(crate) fn PredictionCard(prediction: Prediction) -> impl IntoView {
    let live = live();
    let entity = prediction.entity.clone();
    let now = Memo::new(move |_| live.now_of_entity(&entity));
    let (made, breach) = (prediction.made_at, prediction.breach_at);
    let (earliest, latest) = (prediction.breach_earliest, prediction.breach_latest);
    let span = latest.millis_since(made).max(1) as f64;
    let share = move |at: wire::Timestamp| (at.millis_since(made) as f64 / span * 100.0).clamp(0.0, 100.0);
    let limit = format::metric_value(&prediction.metric, prediction.limit);
    let spread = format::duration(latest.millis_since(earliest) / 2);
    view! {
        <li class="prediction" data-row="" data-testid="prediction" data-id=prediction.id.to_string()>
            <div class="prediction__head">
                <A href=format!("/series/{}", prediction.series) attr:class="prediction__title">
                    <b>{prediction.entity.to_string()}</b>
                    " "
                    {prediction.metric.clone()}
                </A>
                <span class="prediction__count num" data-testid="countdown">
                    <Icon symbol=Symbol::Clock />
                    {move || format::countdown(breach, now.get())}
                </span>
            </div>
            <div class="prediction__bar" aria-hidden="true">
                <i
                    class="prediction__window"
                    style:left=format!("{:.1}%", share(earliest))
                    style:width=format!("{:.1}%", share(latest) - share(earliest))
                ></i>
                <i class="prediction__now" style:width=move || format!("{:.1}%", share(now.get()))></i>
            </div>
            <div class="prediction__facts">
                <span>
                    <b class="num">{format::percent(f64::from(prediction.probability))}</b>
                    " likely to "
                    {if prediction.above { "rise above " } else { "fall below " }}
                    <span class="num">{limit}</span>
                </span>
                <span class="num">"± " {spread}</span>
            </div>
        </li>
    }
}
