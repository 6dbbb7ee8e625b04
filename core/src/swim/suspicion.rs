//! When is a member dead, and may we say so?
//!
//! Datagrams alone are slow judges: they get lost, and who waits for them long enough waits long. So a
//! member that does not answer one is dialled. Its host may refuse, then it is dead; or take the connection
//! without a word from the member, then it has no processor and gets time; or say nothing at all: then
//! other members dial it too, and if they fare the same it is dead. Where none of this tells, a fixed time
//! does.
//!
//! And whoever cannot trust itself accuses nobody (Dadgar et al., "Lifeguard", 2018): a node whose turns
//! come late, or that hears from nobody, withholds its verdict for a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use crate::wire::peer::Finding;

/// A member that takes connections and says nothing gets at least this long.
const PATIENCE: Duration = Duration::from_secs(12);
/// Members that must fare as we do.
const WITNESSES: usize = 2;
/// Members asked in all; of many that do not answer, most are dead themselves.
const ASKED: usize = 8;
/// While nothing is known, it is dialled again, and others are asked, this often.
const ROUND: Duration = Duration::from_secs(2);
/// How often a suspect is told.
const TELL: Duration = Duration::from_secs(1);

/// A verdict that we withhold is looked at again this soon.
const WITHHELD: Duration = Duration::from_millis(250);

/// A member that has not answered.
#[derive(Debug)]
pub(super) struct Suspicion {
    since: Duration,
    due: Duration,
    tell_at: Duration,
    round_at: Duration,
    own: Option<Finding>,
    reports: BTreeMap<SocketAddr, Finding>,
    asked: BTreeSet<SocketAddr>,
}

impl Suspicion {
    pub(super) fn new(now: Duration, lasts: Duration, own: Option<Finding>) -> Self {
        let mut suspicion = Self {
            since: now,
            due: now + lasts,
            tell_at: now,
            round_at: now,
            own: None,
            reports: BTreeMap::new(),
            asked: BTreeSet::new(),
        };
        if let Some(finding) = own {
            suspicion.find(finding);
        }
        suspicion
    }

    /// What came of dialling it.
    pub(super) fn find(&mut self, finding: Finding) {
        self.own = Some(finding);
        self.consider(finding);
    }

    /// What came of it for another member, if that was asked.
    pub(super) fn report(&mut self, from: SocketAddr, finding: Finding) {
        if self.asked.contains(&from) {
            self.reports.insert(from, finding);
            self.consider(finding);
        }
    }

    fn consider(&mut self, finding: Finding) {
        if matches!(finding, Finding::Silent | Finding::Here) {
            self.due = self.due.max(self.since + PATIENCE);
        }
    }

    /// It is there: the suspicion begins anew.
    pub(super) fn restart(&mut self, now: Duration) {
        self.due += now.saturating_sub(self.since);
        self.since = now;
        self.own = None;
        self.reports.clear();
        self.asked.clear();
    }

    /// Is it known to be dead, whatever we think of ourselves?
    pub(super) fn is_refused(&self) -> bool {
        self.findings().any(|finding| finding == Finding::Refused)
            && !self.findings().any(|finding| matches!(finding, Finding::Here | Finding::Silent))
    }

    /// Is it dead, as far as we can tell with so many other members to ask?
    pub(super) fn is_mature(&self, now: Duration, others: usize) -> bool {
        let unanswered = |finding: &&Finding| **finding == Finding::Unanswered;
        let witnesses = self.reports.values().filter(unanswered).count();
        let agreed = self.own == Some(Finding::Unanswered)
            && others > 0
            && witnesses >= WITNESSES.min(others)
            && witnesses == self.reports.len();
        agreed || now >= self.due
    }

    /// Time did not pass for us.
    pub(super) fn postpone(&mut self, late: Duration) {
        self.due += late;
    }

    /// It would be dead, but we doubt ourselves.
    pub(super) fn withhold(&mut self, now: Duration) {
        if self.due <= now {
            self.due = now + WITHHELD;
        }
    }

    /// Is it time to tell the suspect?
    pub(super) fn take_telling(&mut self, now: Duration) -> bool {
        let due = now >= self.tell_at;
        if due {
            self.tell_at = now + TELL;
        }
        due
    }

    /// Is it time to dial it again, and to ask others to?
    pub(super) fn take_round(&mut self, now: Duration) -> bool {
        let due = now >= self.round_at;
        if due {
            self.round_at = now + ROUND;
        }
        due
    }

    /// How many more members should be asked.
    pub(super) fn wanted(&self) -> usize {
        if self.asked.len() >= ASKED { 0 } else { WITNESSES }
    }

    pub(super) fn was_asked(&self, member: &SocketAddr) -> bool {
        self.asked.contains(member)
    }

    pub(super) fn ask(&mut self, members: impl IntoIterator<Item = SocketAddr>) {
        self.asked.extend(members);
    }

    /// When it wants to be looked at.
    pub(super) fn next(&self) -> Duration {
        self.due.min(self.tell_at).min(self.round_at)
    }

    fn findings(&self) -> impl Iterator<Item = Finding> {
        self.own.into_iter().chain(self.reports.values().copied())
    }
}

/// A turn that comes so much later than it was due is late.
const LATE: Duration = Duration::from_millis(400);
/// After a late turn we doubt ourselves for as long as it was late, within these.
const DOUBT_LEAST: Duration = Duration::from_secs(2);
const DOUBT_MOST: Duration = Duration::from_secs(8);
/// Who heard from nobody for so long, and had several probes fail, doubts itself.
const DEAF: Duration = Duration::from_secs(2);
const STRIKES: u32 = 3;
/// But not for ever: it may be the last one left.
const DEAF_MOST: Duration = Duration::from_secs(10);

/// Can we trust ourselves?
#[derive(Debug, Default)]
pub(super) struct SelfDoubt {
    until: Duration,
    heard_at: Duration,
    strikes: u32,
}

impl SelfDoubt {
    /// A turn came so much too late. Returns for how long no time passed for us.
    pub(super) fn turn(&mut self, late: Duration, now: Duration) -> Duration {
        if late < LATE {
            return Duration::ZERO;
        }
        self.until = self.until.max(now + late.clamp(DOUBT_LEAST, DOUBT_MOST));
        // Nobody could be heard meanwhile.
        self.heard_at = now;
        late
    }

    pub(super) fn hear(&mut self, now: Duration) {
        self.heard_at = now;
    }

    pub(super) fn probe_ended(&mut self, answered: bool) {
        self.strikes = if answered { 0 } else { self.strikes.saturating_add(1) };
    }

    pub(super) fn is_on(&self, now: Duration) -> bool {
        let silence = now.saturating_sub(self.heard_at);
        let deaf = self.strikes >= STRIKES && silence >= DEAF && silence < DEAF_MOST;
        deaf || now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn member(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 6000))
    }

    fn suspicion(own: Finding, reports: &[Finding]) -> Suspicion {
        let mut suspicion = Suspicion::new(at(100), at(5), Some(own));
        for (number, finding) in (1..).zip(reports) {
            suspicion.ask([member(number)]);
            suspicion.report(member(number), *finding);
        }
        suspicion
    }

    #[test]
    fn who_is_refused_is_dead_at_once_unless_someone_got_through() {
        use Finding::{Here, Refused, Silent, Unanswered};
        assert!(suspicion(Refused, &[]).is_refused());
        assert!(suspicion(Unanswered, &[Refused]).is_refused());
        assert!(!suspicion(Refused, &[Here]).is_refused());
        assert!(!suspicion(Refused, &[Silent]).is_refused());
        assert!(!suspicion(Unanswered, &[]).is_refused());
    }

    #[test]
    fn who_answers_nobody_is_dead_once_two_others_agree() {
        use Finding::{Here, Silent, Unanswered};
        let dead =
            |own, reports: &[Finding], others| suspicion(own, reports).is_mature(at(101), others);
        assert!(dead(Unanswered, &[Unanswered, Unanswered], 10));
        assert!(!dead(Unanswered, &[Unanswered], 10));
        assert!(dead(Unanswered, &[Unanswered], 1));
        assert!(!dead(Unanswered, &[], 0));
        assert!(!dead(Silent, &[Unanswered, Unanswered], 10));
        assert!(!dead(Unanswered, &[Unanswered, Unanswered, Here], 10));
    }

    #[test]
    fn who_only_has_no_processor_gets_time() {
        assert!(suspicion(Finding::Unanswered, &[]).is_mature(at(105), 10));
        let silent = suspicion(Finding::Silent, &[]);
        assert!(!silent.is_mature(at(111), 10));
        assert!(silent.is_mature(at(112), 10));
    }

    #[test]
    fn a_report_that_nobody_asked_for_does_not_count() {
        let mut suspicion = suspicion(Finding::Unanswered, &[]);
        for number in 1..10 {
            suspicion.report(member(number), Finding::Refused);
        }
        assert!(!suspicion.is_refused() && !suspicion.is_mature(at(101), 10));
    }

    #[test]
    fn who_was_late_doubts_itself_for_a_while() {
        let mut doubt = SelfDoubt::default();
        assert_eq!(doubt.turn(Duration::from_millis(100), at(10)), Duration::ZERO);
        assert!(!doubt.is_on(at(10)));
        assert_eq!(doubt.turn(at(5), at(20)), at(5));
        assert!(doubt.is_on(at(24)) && !doubt.is_on(at(25)));
    }

    #[test]
    fn who_hears_from_nobody_doubts_itself_but_not_for_ever() {
        let mut doubt = SelfDoubt::default();
        doubt.hear(at(10));
        for _ in 0..3 {
            doubt.probe_ended(false);
        }
        assert!(!doubt.is_on(at(11)));
        assert!(doubt.is_on(at(13)) && doubt.is_on(at(19)));
        assert!(!doubt.is_on(at(20)));
        doubt.probe_ended(true);
        assert!(!doubt.is_on(at(13)));
    }
}
