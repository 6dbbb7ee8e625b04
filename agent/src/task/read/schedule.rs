//! The part `schedule` of a manifest.

use std::time::Duration;

use super::{At, Reader, join};
use crate::{
    suggest::nearest,
    task::{
        schedule::{Cron, Schedule, Window},
        time,
    },
};

/// The shortest interval.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

impl Reader {
    pub(super) fn schedule(&mut self, at: &At<'_>) -> Option<Schedule> {
        let mut entries = self.map(at)?;
        let kind = entries.take("type");
        let interval = entries.take("interval");
        let start = entries.take("start_timestamp");
        let stop = entries.take("stop_timestamp");
        let count = entries.take("count");
        let Some(kind) = kind else {
            self.missing(&entries, "type");
            self.finish(entries);
            return None;
        };
        let name = self.text(&kind)?;
        let missing = join(&entries.path, "interval");
        self.finish(entries);
        let known = ["simple", "windowed", "cron", "streaming"];
        if !known.contains(&name) {
            let meant = nearest(name, known).map(|near| format!(", did you mean `{near}`?"));
            let meant = meant.unwrap_or_else(|| format!(", they are {}", known.join(", ")));
            self.refuse(&kind.path, format!("`{name}` is not a type of schedule{meant}"));
            return None;
        }
        if name == "streaming" {
            if interval.or(start).or(stop).or(count).is_some() {
                let message = "a streaming task has no interval, timestamps or count";
                self.warnings.push(message.to_owned());
            }
            return Some(Schedule::Streaming);
        }
        let window = self.window(start, stop, count);
        let Some(interval) = interval else {
            self.refuse(&missing, "it is missing");
            return None;
        };
        let window = window?;
        if name == "cron" {
            let text = self.text(&interval)?;
            return match Cron::parse(text) {
                Ok(cron) => {
                    self.warnings.extend(seconds_first(text));
                    Some(Schedule::Cron { cron, window })
                }
                Err(error) => {
                    self.refuse(&interval.path, error.to_string());
                    None
                }
            };
        }
        let time = self.span(&interval)?;
        if time < LEAST_INTERVAL {
            let least = time::show(LEAST_INTERVAL);
            self.refuse(&interval.path, format!("the shortest interval is {least}"));
            return None;
        }
        Some(Schedule::Interval { interval: time, window })
    }

    fn window(
        &mut self,
        start: Option<At<'_>>,
        stop: Option<At<'_>>,
        count: Option<At<'_>>,
    ) -> Option<Window> {
        let stop_path = stop.as_ref().map(|at| at.path.clone()).unwrap_or_default();
        let before = self.problems.len();
        let start = start.and_then(|at| self.moment(&at));
        let stop = stop.and_then(|at| self.moment(&at));
        let mut count = count.and_then(|at| self.count(&at));
        if let (Some(start), Some(stop)) = (start, stop)
            && stop <= start
        {
            self.refuse(&stop_path, "the task would stop before it starts");
        }
        if stop.is_some() && count.is_some() {
            let message = "`schedule.count` does not count beside `schedule.stop_timestamp`";
            self.warnings.push(message.to_owned());
            count = None;
        }
        (self.problems.len() == before).then_some(Window { start, stop, count })
    }
}

/// Tells who left the seconds away, as other crons have it, that the first field is not the minute.
fn seconds_first(text: &str) -> Option<String> {
    let fields: Vec<_> = text.split_whitespace().collect();
    let [first, _, _, _, _] = fields.as_slice() else { return None };
    let runs = match (*first, first.strip_prefix("*/")) {
        ("*" | "*/1", _) => "every second".to_owned(),
        (_, Some(step)) => format!("every {step} seconds"),
        _ => format!("at second {first}"),
    };
    Some(format!(
        "cron `{text}` runs {runs}: the first field is seconds; by the minute it is `0 {text}`"
    ))
}
