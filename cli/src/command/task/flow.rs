//! `snapctl task watch` and `tap`: what flows through a task, as it happens.

use clap::Args;
use serde_json::Value;
use tribe_api::{Flow, Measured, WatchQuery, client::Events};

use super::Which;
use crate::{
    args::{Format, Seconds, timeout},
    command::name,
    exit::Exit,
    failure::Failure,
    output, sanitize,
    session::Session,
    time,
};

/// The step that `watch` tells of unless told otherwise.
const COLLECT: &str = "collect";

/// What flows out of one step.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    span: Span,
    /// The step, as `snapctl task show` names it: `collect`, `process[0]`, `process[0].publish[1]`
    #[arg(long, value_name = "PATH", default_value = COLLECT, value_parser = name())]
    step: String,
}

/// Which task, and for how long.
#[derive(Debug, Args)]
struct Span {
    #[command(flatten)]
    which: Which,
    /// End after this many batches
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this time; with exit status 3 if fewer than --count batches came
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = timeout,
        allow_negative_numbers = true
    )]
    timeout: Option<Seconds>,
}

/// Print what flows out of the steps of a task on this node, as it happens
///
/// A line for each metric: step, time, namespace, data, unit and tags; with `-o
/// json` a line for each batch. Steps are named as `snapctl task show` names them:
/// `collect`, `process[0]`, `process[0].publish[1]`; what a publish step took is
/// told under its own name.
///
///   snapctl tap psutil-influx --tribe core
///   snapctl tap psutil-influx --step collect --count 1
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Tap {
    #[command(flatten)]
    span: Span,
    /// Only what flows out of this step [default: out of every one]
    #[arg(long, value_name = "PATH", value_parser = name())]
    step: Option<String>,
}

pub(super) async fn watch(watch: Watch, session: &Session) -> Result<Exit, Failure> {
    follow(watch.span, Some(watch.step), false, session).await
}

/// Carries out `snapctl tap`.
pub(crate) async fn tap(tap: Tap, session: &Session) -> Result<Exit, Failure> {
    follow(tap.span, tap.step, true, session).await
}

async fn follow(
    span: Span,
    step: Option<String>,
    with_steps: bool,
    session: &Session,
) -> Result<Exit, Failure> {
    let Span { which, count, timeout } = span;
    let print = async {
        let query = WatchQuery { tribe: which.tribe.clone(), step };
        let flows = session.snapd.watch_task(&which.task, &query).await?;
        if print(flows, count, with_steps, session.format).await? {
            return Ok(Exit::Success);
        }
        ended(&which, session).await
    };
    let Some(Seconds(time)) = timeout else { return print.await };
    match tokio::time::timeout(time, print).await {
        Ok(result) => result,
        Err(_) if count.is_none() => Ok(Exit::Success),
        Err(_) => {
            output::tell(&format!("no more batches within {} s", time.as_secs_f64()));
            Ok(Exit::NothingMatched)
        }
    }
}

/// Prints what comes. Was it enough, or did the stream end?
async fn print(
    mut flows: Events<Flow>,
    count: Option<u64>,
    with_steps: bool,
    format: Format,
) -> Result<bool, Failure> {
    let mut printed = 0;
    while count.is_none_or(|count| printed < count) {
        let Some(flow) = flows.next().await? else { return Ok(false) };
        if let Some(missed) = flow.missed {
            output::tell(&format!("warning: missed {missed} batches, they came too fast"));
            continue;
        }
        printed += 1;
        if format == Format::Json {
            output::data(&output::json(serde_json::to_string(&flow))?)?;
        } else if !flow.metrics.is_empty() {
            output::data(&flow_text(&flow, with_steps))?;
        }
    }
    Ok(true)
}

/// A stream ends with its task or with snapd: which was it?
async fn ended(which: &Which, session: &Session) -> Result<Exit, Failure> {
    match session.snapd.task(&which.task, which.tribe.as_deref()).await.map_err(Failure::from) {
        Ok(_) => Err(Failure::closed(&session.snapd.address())),
        Err(failure) if failure.is_nothing_matched() => {
            output::tell(&sanitize::line(&format!("task `{}` is gone", which.task)));
            Ok(Exit::Success)
        }
        Err(failure) => Err(failure),
    }
}

fn flow_text(flow: &Flow, with_steps: bool) -> String {
    let lines = flow.metrics.iter().map(|metric| {
        let line = metric_text(metric, flow.time_ms);
        if with_steps { format!("{}  {line}", sanitize::line(&flow.step)) } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A metric; one that does not say when it was measured has the time at which it flowed.
fn metric_text(metric: &Measured, flowed_ms: u64) -> String {
    let when = match metric.timestamp_ms {
        0 => i64::try_from(flowed_ms).unwrap_or(0),
        when => when,
    };
    let tags = metric.tags.iter().map(|(key, value)| format!("{key}={value}"));
    let data = match &metric.data {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        data => data.to_string(),
    };
    output::words([
        time::millisecond(when),
        metric.namespace.clone(),
        data,
        metric.unit.clone(),
        output::list(tags),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_flows_is_a_line_for_each_metric() {
        let metric = |data, tags: &[(&str, &str)], timestamp_ms| Measured {
            namespace: "/intel/load".into(),
            version: 1,
            data,
            unit: String::new(),
            tags: tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            timestamp_ms,
        };
        let first = metric(0.5.into(), &[("rack", "7\n")], 1_795_699_158_007);
        let (metrics, time_ms) = (vec![first, metric(Value::Null, &[], 0)], 1_795_699_158_009);
        let flow = Flow { step: "process[0]".into(), time_ms, metrics, missed: None };
        let expected = "\
2026-11-26T13:19:18.007Z  /intel/load  0.5  -  rack=7\\n
2026-11-26T13:19:18.009Z  /intel/load  -  -  -";
        assert_eq!(flow_text(&flow, false), expected);
        let expected = "\
process[0]  2026-11-26T13:19:18.007Z  /intel/load  0.5  -  rack=7\\n
process[0]  2026-11-26T13:19:18.009Z  /intel/load  -  -  -";
        assert_eq!(flow_text(&flow, true), expected);
    }
}
