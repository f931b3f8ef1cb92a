//! What a shard counts: plain numbers since its start, exported by the host.

/// The counters of one shard.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Messages received from peers.
    pub messages: u64,
    /// Sessions that got WELCOME.
    pub sessions_joined: u64,
    /// Sessions that ended after WELCOME.
    pub sessions_left: u64,
    /// Sessions that lost their transport and were kept.
    pub sessions_frozen: u64,
    /// Sessions resumed here.
    pub sessions_resumed: u64,
    /// Events for sessions without transport that gave way to later ones; counted when the session is resumed or ends.
    pub events_lost: u64,
    /// ABORTs sent.
    pub aborts: u64,
    /// SUBSCRIBEs beyond what the session may hold, or may have under way.
    pub subscriptions_refused: u64,
    /// REGISTERs beyond what the session may hold, or may have under way.
    pub registrations_refused: u64,
    /// CALLs beyond what the session may have pending.
    pub calls_refused: u64,
    /// Messages whose payload was longer than sessions may send.
    pub payloads_refused: u64,
    /// PUBLISH accepted.
    pub publications: u64,
    /// PUBLISH without acknowledgement that was not allowed, and so dropped.
    pub publications_refused: u64,
    /// Questions to authorizers.
    pub permissions_asked: u64,
    /// Authorizers' answers that gave no decision.
    pub permissions_failed: u64,
    /// Messages that waited behind one that an authorizer was asked about.
    pub messages_held: u64,
    /// Messages that waited so when their session ended or lost its transport.
    pub messages_dropped: u64,
    /// Publications that new subscribers may have missed, because too many came while their SUBSCRIBE was under way.
    pub retained_missed: u64,
    /// EVENT_RECEIVED of subscribers, whatever they name.
    pub deliveries_acknowledged: u64,
    /// CALL accepted.
    pub calls: u64,
    /// INVOCATIONs sent.
    pub invocations: u64,
    /// Final RESULTs sent.
    pub results: u64,
    /// Progressive RESULTs sent.
    pub results_progressive: u64,
    /// ERRORs sent.
    pub errors: u64,
    /// Times that a call had to wait for a free slot of a callee.
    pub calls_queued: u64,
    /// Calls ended because their time was over.
    pub calls_timed_out: u64,
    /// Answers of callees that nobody waits for any more.
    pub answers_ignored: u64,
    /// Letters posted.
    pub letters_sent: u64,
    /// Letters taken.
    pub letters_received: u64,
    /// Publications of other shards that found no subscriber here any more.
    pub publications_stale: u64,
    /// Calls sent back to the caller's shard.
    pub calls_returned: u64,
}
