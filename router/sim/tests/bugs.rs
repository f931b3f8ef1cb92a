//! The simulator can fail: every bug that can be put in is found within a few seeds, and by the checker that ought to.

#![forbid(unsafe_code)]

use crossring_sim::bug::Bug;
use crossring_sim::{Request, run};

/// Seeds in which a bug has to be found.
const SEEDS_MAX: u64 = 200;

/// The checkers that find the bug in some seed. Which one is first differs: a rule may be broken in several ways.
#[track_caller]
fn check(bug: Bug, checkers: &[&str]) {
    let mut others = Vec::new();
    for seed in 1..=SEEDS_MAX {
        let shards = 2 + seed as usize % 3;
        let request = Request { bug: Some(bug), ..Request::new(seed, shards) };
        match run(&request).violation {
            Some(violation) if checkers.contains(&violation.checker) => return,
            Some(violation) => others.push(violation.to_string()),
            None => {}
        }
    }
    panic!("{} is not found by {checkers:?} in {SEEDS_MAX} seeds, but by {others:#?}", bug.name());
}

#[test]
fn a_reordered_lane_is_found() {
    check(Bug::ReorderLane, &["ordering"]);
}

#[test]
fn a_lost_interest_acknowledgement_is_found() {
    check(Bug::LoseAcknowledgement, &["sessions"]);
}

#[test]
fn an_early_subscribed_is_found() {
    check(Bug::EarlySubscribed, &["delivery"]);
}

#[test]
fn an_early_registered_is_found() {
    check(Bug::EarlyRegistered, &["calls"]);
}

#[test]
fn a_late_event_is_found() {
    check(Bug::LateEvent, &["ordering"]);
}

#[test]
fn a_duplicate_event_is_found() {
    check(Bug::DuplicateEvent, &["delivery"]);
}

#[test]
fn a_misdirected_event_is_found() {
    check(Bug::MisdirectedEvent, &["ordering", "accounting", "sessions"]);
}

#[test]
fn a_lost_publication_is_found() {
    check(Bug::LosePublication, &["delivery"]);
}

#[test]
fn an_uncounted_drop_is_found() {
    check(Bug::UncountedDrop, &["accounting"]);
}

#[test]
fn a_duplicate_answer_is_found() {
    check(Bug::DuplicateAnswer, &["calls", "ordering"]);
}

#[test]
fn a_forgotten_leave_is_found() {
    check(Bug::ForgetLeave, &["agreement"]);
}

#[test]
fn a_stale_callee_is_found() {
    check(Bug::StaleCallee, &["agreement"]);
}

#[test]
fn a_hasty_timeout_is_found() {
    check(Bug::HastyTimeout, &["calls", "invocations"]);
}

#[test]
fn a_late_timeout_is_found() {
    check(Bug::LateTimeout, &["calls"]);
}

#[test]
fn a_forgotten_limit_is_found() {
    check(Bug::ForgottenLimit, &["invocations"]);
}

#[test]
fn a_duplicate_call_is_found() {
    check(Bug::DuplicateCall, &["invocations"]);
}

#[test]
fn a_stray_interrupt_is_found() {
    check(Bug::StrayInterrupt, &["interrupts"]);
}

#[test]
fn a_lost_part_is_found() {
    check(Bug::LosePart, &["invocations"]);
}

#[test]
fn a_wrong_trust_level_is_found() {
    check(Bug::WrongTrust, &["isolation"]);
}

#[test]
fn a_lost_meta_event_is_found() {
    check(Bug::LoseMetaEvent, &["notices"]);
}

#[test]
fn a_duplicate_meta_event_is_found() {
    check(Bug::DuplicateMetaEvent, &["notices"]);
}

#[test]
fn a_wrong_count_is_found() {
    check(Bug::WrongCount, &["meta"]);
}

#[test]
fn a_lost_kill_is_found() {
    check(Bug::LoseKill, &["meta"]);
}

#[test]
fn a_lost_testament_is_found() {
    check(Bug::LoseTestament, &["delivery"]);
}

#[test]
fn a_hasty_fence_is_found() {
    check(Bug::HastyFence, &["delivery", "ordering", "notices"]);
}

#[test]
fn a_passed_queue_is_found() {
    check(Bug::PassQueue, &["queue"]);
}

#[test]
fn forgotten_retention_is_found() {
    check(Bug::ForgottenRetention, &["retention"]);
}

#[test]
fn a_forgotten_share_is_found() {
    check(Bug::ForgottenShare, &["delivery"]);
}

#[test]
fn a_forgotten_receipt_is_found() {
    check(Bug::ForgottenReceipt, &["isolation"]);
}

#[test]
fn a_lost_revocation_is_found() {
    check(Bug::LoseRevocation, &["meta"]);
}

#[test]
fn a_lost_record_is_found() {
    check(Bug::LoseRecord, &["history"]);
}

#[test]
fn a_duplicate_interrupt_is_found() {
    check(Bug::DuplicateInterrupt, &["interrupts"]);
}

#[test]
fn a_lost_change_is_found() {
    check(Bug::LoseChange, &["details"]);
}

#[test]
fn a_lost_schema_is_found() {
    check(Bug::LoseSchema, &["schemas"]);
}

#[test]
fn forged_hops_are_found() {
    check(Bug::ForgedHops, &["isolation"]);
}

#[test]
fn miscounted_traffic_is_found() {
    check(Bug::MiscountedTraffic, &["statistics"]);
}

#[test]
fn forgotten_keys_are_found() {
    check(Bug::ForgottenKeys, &["isolation"]);
}

#[test]
fn a_garbled_payload_is_found() {
    check(Bug::GarbledPayload, &["isolation", "serializers"]);
}

#[test]
fn a_wrong_role_is_found() {
    check(Bug::WrongRole, &["isolation"]);
}

#[test]
fn an_ignored_denial_is_found() {
    check(Bug::IgnoredDenial, &["sessions", "isolation"]);
}

#[test]
fn a_stale_decision_is_found() {
    check(Bug::StaleDecision, &["sessions", "isolation"]);
}

#[test]
fn a_mistaken_answer_is_found() {
    check(Bug::MistakenAnswer, &["authorization"]);
}

#[test]
fn a_lost_message_that_waits_is_found() {
    check(Bug::LoseHeld, &["authorization", "sessions", "calls"]);
}

#[test]
fn an_ignored_pause_is_found() {
    check(Bug::IgnoredPause, &["flow"]);
}

#[test]
fn a_forged_identity_is_found() {
    check(Bug::ForgedIdentity, &["sessions"]);
}
