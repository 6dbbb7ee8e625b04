//! When a task fires.
//!
//! A [`Schedule`] is what the manifest says; a [`Timetable`] is one run of it. Intervals are counted
//! by the steady clock from the first time the task fired, so they do not drift and a change of the
//! wall clock does not move them; cron, start and stop go by the wall clock. Nothing here reads
//! a clock.
//!
//! Invariant: a timetable never asks for a time that has passed, but counts what it missed.

use std::{fmt, time::Duration};

use croner::parser::{CronParser, Seconds, Year};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value as Json, json};

use super::time;

/// Wall clocks are set, so whoever waits for one looks at it again after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// A wall clock that is further behind was set back.
const LAG: Duration = Duration::from_secs(10);

/// When a task fires.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Schedule {
    /// At once and then after each interval: snap's `simple` and `windowed`, which are the same.
    Interval { interval: Duration, window: Window },
    /// At times of the calendar.
    Cron { cron: Cron, window: Window },
    /// Whenever the collector has something.
    Streaming,
}

/// Between when and when, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Window {
    pub(crate) start: Option<Timestamp>,
    pub(crate) stop: Option<Timestamp>,
    /// How many intervals.
    pub(crate) count: Option<u64>,
}

/// Times of the calendar as robfig's cron for Go has them, which snap used.
#[derive(Clone)]
pub(crate) struct Cron {
    text: String,
    times: Times,
}

#[derive(Clone)]
enum Times {
    Pattern(Box<croner::Cron>),
    /// `@every`: after so long, in whole seconds.
    Every(Duration),
}

/// Why a text is no cron expression. The mistake is the user's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a cron expression: {reason}")]
pub(crate) struct CronError {
    text: String,
    reason: String,
}

/// A moment by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Of the steady clock, from any beginning.
    pub(crate) steady: Duration,
    pub(crate) wall: Timestamp,
}

/// What a timetable says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Fire at this time of the steady clock. So many intervals were missed since it fired last.
    Fire { at: Duration, missed: u64 },
    /// Ask again at this time of the steady clock: it is too early to say.
    Ask { at: Duration },
    /// Never again.
    End,
}

/// One run of a schedule.
#[derive(Debug, Clone)]
pub(crate) struct Timetable {
    schedule: Schedule,
    zone: TimeZone,
    /// When the first interval began, once it has.
    base: Option<Duration>,
    /// How many intervals, or times of the calendar, have begun.
    slots: u64,
    /// The time of the calendar that it waits for, and the last one it fired for.
    upcoming: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Schedule {
    /// Between when and when, unless it streams.
    pub(crate) fn window(&self) -> Option<&Window> {
        match self {
            Self::Interval { window, .. } | Self::Cron { window, .. } => Some(window),
            Self::Streaming => None,
        }
    }

    /// Begins a run; times of the calendar are those of a time zone.
    pub(crate) fn begin(&self, zone: TimeZone) -> Timetable {
        Timetable { schedule: self.clone(), zone, base: None, slots: 0, upcoming: None, last: None }
    }

    /// As in a manifest.
    pub(crate) fn to_json(&self) -> Json {
        let mut map = Map::new();
        let mut put = |key: &str, value: Json| drop(map.insert(key.to_owned(), value));
        let window = match self {
            Self::Streaming => {
                put("type", json!("streaming"));
                return Json::Object(map);
            }
            Self::Cron { cron, window } => {
                put("type", json!("cron"));
                put("interval", json!(cron.text));
                window
            }
            Self::Interval { interval, window } => {
                let windowed = window.start.is_some() || window.stop.is_some();
                put("type", json!(if windowed { "windowed" } else { "simple" }));
                put("interval", json!(time::show(*interval)));
                window
            }
        };
        if let Some(start) = window.start {
            put("start_timestamp", json!(start.to_string()));
        }
        if let Some(stop) = window.stop {
            put("stop_timestamp", json!(stop.to_string()));
        }
        if let Some(count) = window.count {
            put("count", json!(count));
        }
        Json::Object(map)
    }
}

impl fmt::Display for Schedule {
    /// In a list: `every 5s`, `cron 0 0 * * * *`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval { interval, .. } => write!(f, "every {}", time::show(*interval)),
            Self::Cron { cron, .. } => write!(f, "cron {}", cron.text),
            Self::Streaming => f.write_str("streaming"),
        }
    }
}

impl Timetable {
    /// When to fire, seen from now. The answer stands until the task has fired.
    pub(crate) fn next(&mut self, now: Now) -> Next {
        let Some(window) = self.schedule.window().copied() else { return Next::End };
        if window.stop.is_some_and(|stop| now.wall >= stop) {
            return Next::End;
        }
        if let Some(start) = window.start.filter(|start| *start > now.wall) {
            let wait = span(now.wall, start);
            if wait > LOOK_AGAIN {
                return Next::Ask { at: now.steady.saturating_add(LOOK_AGAIN) };
            }
            // From the start on, to the moment.
            let at = now.steady.saturating_add(wait);
            return self.first(Now { steady: at, wall: start });
        }
        self.first(now)
    }

    /// The next time within the window, not before `now`.
    fn first(&mut self, now: Now) -> Next {
        match &self.schedule {
            Schedule::Streaming => Next::End,
            Schedule::Interval { interval, window } => {
                let (interval, window) = (*interval, *window);
                self.interval(interval, window, now)
            }
            Schedule::Cron { cron, window } => {
                if window.count.is_some_and(|count| self.slots >= count) {
                    return Next::End;
                }
                // The wall clock may lag behind the steady one, and then it is that time again.
                let lags = |last: &Timestamp| *last > now.wall && span(now.wall, *last) < LAG;
                let from = self.last.filter(lags).unwrap_or(now.wall);
                let Some(at) = cron.after(from, &self.zone) else { return Next::End };
                self.upcoming = Some(at);
                if window.stop.is_some_and(|stop| at >= stop) {
                    return Next::End;
                }
                let wait = span(now.wall, at);
                if wait > LOOK_AGAIN {
                    return Next::Ask { at: now.steady.saturating_add(LOOK_AGAIN) };
                }
                Next::Fire { at: now.steady.saturating_add(wait), missed: 0 }
            }
        }
    }

    fn interval(&mut self, interval: Duration, window: Window, now: Now) -> Next {
        let base = self.base.unwrap_or(now.steady);
        let gone = whole(now.steady.saturating_sub(base), interval);
        // Before the first interval nothing is missed, and one that begins right now is not.
        let exact = base.saturating_add(times(interval, gone)) == now.steady;
        let upcoming = if exact { gone } else { gone.saturating_add(1) };
        let upcoming = if self.base.is_none() { 0 } else { upcoming };
        let slot = upcoming.max(self.slots);
        let at = base.saturating_add(times(interval, slot)).max(now.steady);
        let wall = now.wall.checked_add(at.saturating_sub(now.steady)).unwrap_or(Timestamp::MAX);
        let over = window.count.is_some_and(|count| slot >= count);
        if over || window.stop.is_some_and(|stop| wall >= stop) {
            return Next::End;
        }
        Next::Fire { at, missed: slot - self.slots }
    }

    /// The task fires, as it was told to, at this time of the steady clock.
    pub(crate) fn fired(&mut self, at: Duration) {
        let Schedule::Interval { interval, .. } = &self.schedule else {
            self.slots = self.slots.saturating_add(1);
            self.last = self.upcoming;
            return;
        };
        let base = *self.base.get_or_insert(at);
        self.slots = whole(at.saturating_sub(base), *interval).saturating_add(1);
    }
}

impl Cron {
    /// Reads an expression of six fields, the seconds first, of which the last may be left out, or
    /// one that begins with `@`.
    pub(crate) fn parse(text: &str) -> Result<Self, CronError> {
        let error = |reason: String| CronError { text: text.to_owned(), reason };
        let times = match text.trim().strip_prefix('@') {
            Some(word) => named(word).map_err(error)?,
            None => Times::Pattern(Box::new(pattern(text).map_err(error)?)),
        };
        Ok(Self { text: text.to_owned(), times })
    }

    /// The next time after this one.
    fn after(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.times {
            Times::Every(span) => {
                // In whole seconds, as in robfig's.
                let second = Timestamp::from_second(now.as_second()).ok()?;
                second.checked_add(*span).ok()
            }
            Times::Pattern(cron) => {
                let now = now.to_zoned(zone.clone());
                let next = cron.find_next_occurrence(&now, false).ok()?;
                Some(next.timestamp())
            }
        }
    }
}

fn named(word: &str) -> Result<Times, String> {
    if let Some(every) = word.strip_prefix("every ") {
        let span = time::parse(every.trim()).map_err(|error| error.to_string())?;
        // robfig's rounds down to seconds, and up to one.
        return Ok(Times::Every(Duration::from_secs(span.as_secs().max(1))));
    }
    let text = match word {
        "yearly" | "annually" => "0 0 0 1 1 *",
        "monthly" => "0 0 0 1 * *",
        "weekly" => "0 0 0 * * 0",
        "daily" | "midnight" => "0 0 0 * * *",
        "hourly" => "0 0 * * * *",
        _ => {
            return Err(
                "after `@` comes yearly, monthly, weekly, daily, hourly or `every 5s`".to_owned()
            );
        }
    };
    pattern(text).map(|cron| Times::Pattern(Box::new(cron)))
}

fn pattern(text: &str) -> Result<croner::Cron, String> {
    let mut fields: Vec<_> = text.split_whitespace().collect();
    if fields.len() == 5 {
        fields.push("*");
    }
    let [_, _, _, day, _, weekday] = fields.as_slice() else {
        return Err(format!(
            "it has {} fields, not 6: second, minute, hour, day, month, weekday",
            fields.len()
        ));
    };
    // What only croner understands is no cron of snap's.
    if let Some(bad) = fields.iter().find(|field| field.contains(['#', '+', '@'])) {
        return Err(format!("`{bad}` is not understood"));
    }
    // A day has to fit both fields if one of them is free, else either.
    let free = |field: &str| field.starts_with(['*', '?']);
    let both = free(day) || free(weekday);
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Disallowed)
        .dom_and_dow(both)
        .sloppy_ranges(true)
        .build();
    let cron = parser.parse(&fields.join(" ")).map_err(|error| {
        let text = error.to_string();
        let text = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason);
        text.trim_end_matches('.').to_owned()
    })?;
    // A day that never comes is better told now.
    let now = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    cron.find_next_occurrence(&now, false).map_err(|_| "that day never comes".to_owned())?;
    Ok(cron)
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.text).finish()
    }
}

/// From one time to a later one.
fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// How many whole intervals a span has.
fn whole(span: Duration, interval: Duration) -> u64 {
    let count = span.as_nanos().checked_div(interval.as_nanos()).unwrap_or_default();
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn times(interval: Duration, count: u64) -> Duration {
    let nanos = interval.as_nanos().saturating_mul(u128::from(count));
    u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "2026-01-01T00:00:00Z";

    /// So many milliseconds after both clocks stood at the start.
    fn at(ms: u64) -> Now {
        let start: Timestamp = START.parse().unwrap();
        let passed = Duration::from_millis(ms);
        Now { steady: passed, wall: start + passed }
    }

    fn ms(next: Next) -> String {
        match next {
            Next::Fire { at, missed: 0 } => format!("fire {}", at.as_millis()),
            Next::Fire { at, missed } => format!("fire {} missed {missed}", at.as_millis()),
            Next::Ask { at } => format!("ask {}", at.as_millis()),
            Next::End => "end".to_owned(),
        }
    }

    /// Asks at each of these times, and fires when told to.
    fn check(schedule: &Schedule, asked: &[(u64, &str)]) {
        let mut table = schedule.begin(TimeZone::UTC);
        for (now, expected) in asked {
            let next = table.next(at(*now));
            assert_eq!(ms(next), *expected, "asked at {now}");
            if let Next::Fire { at, .. } = next {
                table.fired(at);
            }
        }
    }

    fn second(window: Window) -> Schedule {
        Schedule::Interval { interval: Duration::from_secs(1), window }
    }

    fn stamp(ms: u64) -> Option<Timestamp> {
        Some(at(ms).wall)
    }

    #[test]
    fn an_interval_fires_at_once_and_then_on_its_boundaries_without_drift() {
        let asked =
            [(300, "fire 300"), (310, "fire 1300"), (1305, "fire 2300"), (3299, "fire 3300")];
        check(&second(Window::default()), &asked);
    }

    #[test]
    fn whole_intervals_that_passed_are_missed() {
        let asked = [
            (0, "fire 0"),
            (900, "fire 1000"),
            (3500, "fire 4000 missed 2"),
            (5000, "fire 5000"),
            (7000, "fire 7000 missed 1"),
            (7000, "fire 8000"),
        ];
        check(&second(Window::default()), &asked);
    }

    #[test]
    fn a_window_opens_and_closes() {
        let window = Window { start: stamp(40_000), stop: stamp(42_000), count: None };
        let asked = [
            (0, "ask 30000"),
            (30_000, "fire 40000"),
            (40_010, "fire 41000"),
            (41_010, "end"),
            (90_000, "end"),
        ];
        check(&second(window), &asked);
        let window = Window { stop: stamp(1500), ..Window::default() };
        check(&second(window), &[(200, "fire 200"), (300, "fire 1200"), (1300, "end")]);
        let window = Window { start: stamp(0), ..Window::default() };
        check(&second(window), &[(5300, "fire 5300"), (5400, "fire 6300")]);
    }

    #[test]
    fn a_count_ends_after_so_many_intervals_missed_ones_too() {
        let window = Window { count: Some(3), ..Window::default() };
        check(
            &second(window),
            &[(0, "fire 0"), (1, "fire 1000"), (1001, "fire 2000"), (2001, "end")],
        );
        check(&second(window), &[(0, "fire 0"), (1500, "fire 2000 missed 1"), (2001, "end")]);
        check(&second(window), &[(0, "fire 0"), (5000, "end")]);
    }

    #[test]
    fn a_wall_clock_that_is_set_does_not_move_intervals() {
        let mut table = second(Window::default()).begin(TimeZone::UTC);
        let Next::Fire { at: first, .. } = table.next(at(0)) else { panic!() };
        table.fired(first);
        let jumped = Now { steady: Duration::from_millis(10), wall: at(999_999).wall };
        assert_eq!(ms(table.next(jumped)), "fire 1000");
    }

    /// The next times of an expression after the start, a Thursday, in UTC.
    fn check_cron(text: &str, expected: &[&str]) {
        let cron = Cron::parse(text).unwrap();
        let mut now: Timestamp = START.parse().unwrap();
        for expected in expected {
            now = cron.after(now, &TimeZone::UTC).unwrap();
            assert_eq!(now.to_string(), *expected, "{text}");
        }
    }

    #[test]
    fn cron_has_seconds_first() {
        check_cron("5 * * * * *", &["2026-01-01T00:00:05Z", "2026-01-01T00:01:05Z"]);
        check_cron("*/20 * * * * *", &["2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z"]);
        check_cron("0 30 8-9 * * *", &["2026-01-01T08:30:00Z", "2026-01-01T09:30:00Z"]);
        check_cron("0 5/20 * * * ?", &["2026-01-01T00:05:00Z", "2026-01-01T00:25:00Z"]);
        check_cron("0 0 0 1,15 FEB *", &["2026-02-01T00:00:00Z", "2026-02-15T00:00:00Z"]);
        check_cron(
            "0 0 12 * * MON-FRI",
            &["2026-01-01T12:00:00Z", "2026-01-02T12:00:00Z", "2026-01-05T12:00:00Z"],
        );
        check_cron("0 0 3 2 *", &["2026-01-02T03:00:00Z", "2026-02-02T03:00:00Z"]);
    }

    #[test]
    fn a_day_fits_either_field_unless_one_is_free() {
        // The 13th, and Mondays.
        check_cron(
            "0 0 0 13 * MON",
            &["2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z", "2026-01-13T00:00:00Z"],
        );
        // Even Mondays.
        check_cron("0 0 0 */2 * MON", &["2026-01-05T00:00:00Z", "2026-01-19T00:00:00Z"]);
        check_cron("0 0 0 ? * 0", &["2026-01-04T00:00:00Z"]);
    }

    #[test]
    fn cron_has_names() {
        check_cron("@hourly", &["2026-01-01T01:00:00Z"]);
        check_cron("@daily", &["2026-01-02T00:00:00Z"]);
        check_cron("@midnight", &["2026-01-02T00:00:00Z"]);
        check_cron("@weekly", &["2026-01-04T00:00:00Z"]);
        check_cron("@monthly", &["2026-02-01T00:00:00Z"]);
        check_cron("@yearly", &["2027-01-01T00:00:00Z"]);
        check_cron("@every 1m30s", &["2026-01-01T00:01:30Z", "2026-01-01T00:03:00Z"]);
        check_cron("@every 10ms", &["2026-01-01T00:00:01Z"]);
    }

    #[test]
    fn a_wall_clock_that_lags_does_not_make_it_the_same_time_twice() {
        let schedule =
            Schedule::Cron { cron: Cron::parse("0 * * * * *").unwrap(), window: Window::default() };
        let mut table = schedule.begin(TimeZone::UTC);
        let Next::Fire { at: first, .. } = table.next(at(59_000)) else { panic!() };
        table.fired(first);
        let lagging = Now { steady: first, wall: at(59_990).wall };
        assert_eq!(ms(table.next(lagging)), "ask 90000");
        // Set back by a minute, it is that time again.
        let back = Now { steady: first, wall: at(0).wall + Duration::from_secs(40) };
        assert_eq!(ms(table.next(back)), "fire 80000");
    }

    #[test]
    fn a_bad_expression_says_why() {
        let check = |text: &str, expected: &str| {
            let error = Cron::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is not a cron expression: ")), "{error}");
            assert!(error.contains(expected), "{error}");
        };
        check("* * * *", "it has 4 fields, not 6");
        check("", "it has 0 fields");
        check("1 2 3 4 5 6 7", "it has 7 fields");
        check("@noon", "after `@` comes");
        check("@every ten", "`ten` is not a time");
        check("61 * * * * *", "61");
        check("0 0 0 30 2 ?", "that day never comes");
        check("x * * * * *", "");
        check("* * * * * MON#2", "`MON#2` is not understood");
    }

    #[test]
    fn cron_goes_by_the_wall_clock_and_its_zone() {
        let schedule =
            |window| Schedule::Cron { cron: Cron::parse("0 * * * * *").unwrap(), window };
        let asked = [(100, "ask 30100"), (30_100, "fire 60000"), (60_005, "ask 90005")];
        check(&schedule(Window::default()), &asked);
        let window = Window { start: stamp(61_000), count: Some(1), ..Window::default() };
        let asked = [(59_000, "ask 61000"), (95_000, "fire 120000"), (120_001, "end")];
        check(&schedule(window), &asked[1..]);
        let window = Window { stop: stamp(60_000), ..Window::default() };
        check(&schedule(window), &[(59_000, "end")]);
        let cron = Cron::parse("0 0 12 * * *").unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let noon = cron.after(START.parse().unwrap(), &zone).unwrap();
        assert_eq!(noon.to_string(), "2026-01-01T10:00:00Z");
    }
}
