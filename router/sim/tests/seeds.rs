//! The base set of seeds: no rule of the specification is broken, on one to four shards. `simulate --seeds` runs more.

#![forbid(unsafe_code)]

use crossring_sim::{Request, run};

/// Seeds of every run of the tests.
const SEEDS: u64 = 60;

#[track_caller]
fn check(shards: usize) {
    for seed in 1..=SEEDS {
        let outcome = run(&Request::new(seed, shards));
        if let Some(violation) = outcome.violation {
            panic!("seed {seed}, {violation}\nagain: simulate --seed {seed} --shards {shards} --log short");
        }
    }
}

#[test]
fn one_shard_keeps_the_rules() {
    check(1);
}

#[test]
fn two_shards_keep_the_rules() {
    check(2);
}

#[test]
fn three_shards_keep_the_rules() {
    check(3);
}

#[test]
fn four_shards_keep_the_rules() {
    check(4);
}

#[test]
fn a_seed_gives_the_same_run_twice() {
    for (seed, shards) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 3)] {
        let request = Request::new(seed, shards);
        let first = run(&request);
        assert!(first.messages > 0);
        assert_eq!(first, run(&request), "seed {seed}, {shards} shards");
    }
}

#[test]
fn seeds_differ() {
    let hashes: Vec<u64> = (1..=5).map(|seed| run(&Request::new(seed, 2)).hash).collect();
    let mut distinct = hashes.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), hashes.len());
}
