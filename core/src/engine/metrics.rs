//! What the engine counts and measures.

use super::{Engine, view::MemberState};
use crate::metric::{Metric, counters};

counters! {
    /// What the engine dropped after it was opened, and what it did.
    pub(super) struct Counters {
        /// Datagrams that were opened and not understood.
        datagrams_malformed: "tribe_datagrams_malformed_total",
        /// Stream messages that were not understood; the stream was closed.
        messages_malformed: "tribe_messages_malformed_total",
        /// Records refused because their stamp lies too far ahead of our clock.
        records_ahead: "tribe_records_ahead_total",
        /// Records refused because they break a limit.
        records_refused: "tribe_records_refused_total",
        /// Records dropped because they were deleted while this node was away.
        records_reset: "tribe_records_reset_total",
        /// Records of a kind this build does not know; they are kept and passed on.
        records_unknown: "tribe_records_unknown_total",
        /// Records left to digest sync because too many broadcasts waited.
        records_unspread: "tribe_records_unspread_total",
        /// Hints at records that were passed over because too many waited.
        hints_dropped: "tribe_hints_dropped_total",
        /// Answers cut short because a peer asked for too much at once.
        answers_cut: "tribe_answers_cut_total",
        /// Streams refused because too many were served.
        streams_busy: "tribe_streams_busy_total",
        /// Streams refused because too many peers had not said what they want.
        streams_unasked: "tribe_streams_unasked_total",
        /// Streams put off because this node had dialled too many.
        streams_put_off: "tribe_streams_put_off_total",
        /// Streams closed because nothing moved.
        streams_idle: "tribe_streams_idle_total",
        /// Members not pinged over a stream because too many were.
        pings_spared: "tribe_pings_spared_total",
        /// Digest syncs that were done to the end.
        syncs: "tribe_syncs_total",
        /// Services that were to be dialled.
        dials: "tribe_dials_total",
        /// Of the services dialled, those that were not reached.
        dials_failed: "tribe_dials_failed_total",
        /// Streams that services of this node took.
        service_streams: "tribe_service_streams_accepted_total",
        /// Streams refused because a service of this node had enough.
        service_streams_busy: "tribe_service_streams_busy_total",
    }
}

impl Engine {
    /// All that this node counts and measures but for its sockets: counters first.
    pub fn metrics(&self) -> impl Iterator<Item = Metric> {
        self.counters.metrics().chain(self.sealer.counters().metrics()).chain(self.gauges())
    }

    fn gauges(&self) -> impl Iterator<Item = Metric> + use<> {
        self.member_gauges().into_iter().chain([
            Metric::gauge(
                "tribe_synced",
                "1 once it has met the cluster since its start.",
                usize::from(self.synced),
            ),
            Metric::gauge("tribe_tribes", "Tribes there are.", self.state.reading().tribes.len()),
            Metric::gauge("tribe_acting", "Tribes this node acts for.", self.acting.len()),
            Metric::gauge(
                "tribe_records_shared",
                "Records that all may write, deletions remembered among them.",
                self.state.shared_len(),
            ),
            Metric::gauge(
                "tribe_records_unstored",
                "Records that are not yet on disk.",
                self.store.waiting_len(),
            ),
            Metric::gauge(
                "tribe_broadcasts_waiting",
                "Broadcasts that are still to be spread.",
                self.swim.backlog(),
            ),
            Metric::gauge(
                "tribe_hints_waiting",
                "Records hinted at that are to be pulled.",
                self.wanted.len(),
            ),
            Metric::gauge("tribe_streams_open", "Streams between nodes.", self.streams.len()),
            Metric::gauge("tribe_sessions", "Peers whose session is proved.", self.sealer.peers()),
        ])
    }

    fn member_gauges(&self) -> [Metric; 3] {
        let states: Vec<MemberState> = self.holders().map(|(id, _, _)| self.presence(id)).collect();
        [MemberState::Alive, MemberState::Down, MemberState::Left].map(|state| Metric {
            labels: match state {
                MemberState::Alive => &[("state", "alive")],
                MemberState::Down => &[("state", "down")],
                MemberState::Left => &[("state", "left")],
            },
            ..Metric::gauge(
                "tribe_members",
                "Members by what is known of them, this node among them.",
                states.iter().filter(|one| **one == state).count(),
            )
        })
    }
}
