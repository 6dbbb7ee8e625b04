//! What the engine took and dropped, and why, under names that Prometheus would give.

use super::Engine;
use crate::wire::seal;

/// What the engine dropped after it was opened, and what it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Datagrams that were opened but not understood.
    pub(super) datagrams_malformed: u64,
    /// Stream messages that were not understood; the stream was closed.
    pub(super) messages_malformed: u64,
    /// Records whose stamp lies too far ahead of our clock.
    pub(super) records_ahead: u64,
    /// Records that break a limit.
    pub(super) records_refused: u64,
    /// Records that were dropped because they were deleted while this node was away.
    pub(super) records_reset: u64,
    /// Streams refused because too many were served.
    pub(super) streams_busy: u64,
    /// Digest syncs that were done to the end.
    pub(super) syncs: u64,
    /// Services that were to be dialled.
    pub(super) dials: u64,
    /// Of these, those that were not reached.
    pub(super) dials_failed: u64,
    /// Streams that services of this node took.
    pub(super) service_streams: u64,
}

impl Engine {
    /// All counters by name. They only grow while the engine lives.
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let Counters {
            datagrams_malformed,
            messages_malformed,
            records_ahead,
            records_refused,
            records_reset,
            streams_busy,
            syncs,
            dials,
            dials_failed,
            service_streams,
        } = self.counters;
        let mut all = vec![
            ("tribe_datagrams_malformed_total", datagrams_malformed),
            ("tribe_messages_malformed_total", messages_malformed),
            ("tribe_records_ahead_total", records_ahead),
            ("tribe_records_refused_total", records_refused),
            ("tribe_records_reset_total", records_reset),
            ("tribe_streams_busy_total", streams_busy),
            ("tribe_syncs_total", syncs),
            ("tribe_dials_total", dials),
            ("tribe_dials_failed_total", dials_failed),
            ("tribe_service_streams_accepted_total", service_streams),
        ];
        all.extend(seal_counters(self.sealer.counters()));
        all
    }
}

fn seal_counters(counters: &seal::Counters) -> Vec<(&'static str, u64)> {
    let seal::Counters {
        sealed,
        delivered,
        challenges,
        challenges_spared,
        responses,
        held_dropped,
        too_large,
        too_short,
        too_long,
        unknown_version,
        unknown_kind,
        unknown_key,
        unauthentic,
        replayed,
        unknown_session,
        reflected,
        unexpected_response,
        busy,
        malformed,
    } = *counters;
    vec![
        ("tribe_datagrams_sealed_total", sealed),
        ("tribe_datagrams_delivered_total", delivered),
        ("tribe_challenges_sent_total", challenges),
        ("tribe_challenges_spared_total", challenges_spared),
        ("tribe_responses_sent_total", responses),
        ("tribe_datagrams_held_dropped_total", held_dropped),
        ("tribe_datagrams_too_large_total", too_large),
        ("tribe_datagrams_dropped_too_short_total", too_short),
        ("tribe_datagrams_dropped_too_long_total", too_long),
        ("tribe_datagrams_dropped_unknown_version_total", unknown_version),
        ("tribe_datagrams_dropped_unknown_kind_total", unknown_kind),
        ("tribe_datagrams_dropped_unknown_key_total", unknown_key),
        ("tribe_datagrams_dropped_unauthentic_total", unauthentic),
        ("tribe_datagrams_dropped_replayed_total", replayed),
        ("tribe_datagrams_dropped_unknown_session_total", unknown_session),
        ("tribe_datagrams_dropped_reflected_total", reflected),
        ("tribe_datagrams_dropped_unexpected_response_total", unexpected_response),
        ("tribe_datagrams_dropped_busy_total", busy),
        ("tribe_datagrams_dropped_malformed_total", malformed),
    ]
}
