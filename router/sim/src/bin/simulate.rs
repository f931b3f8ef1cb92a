//! Runs the simulator from the command line.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use crossring_sim::bug::Bug;
use crossring_sim::options::STEPS_DEFAULT;
use crossring_sim::{Outcome, Request, run};

const USAGE: &str = "\
usage: simulate [--seed N] [--seeds COUNT] [--shards K] [--steps N] [--log short] [--bug NAME]

  --seed N       first seed (default 1)
  --seeds COUNT  how many seeds to run, counting up (default 1)
  --shards K     data shards; without it every seed runs with 1, 2, 3 and 4
  --steps N      ticks of the phase with faults
  --log short    prints one line for every change
  --bug NAME     puts a bug in, to see that it is found";

struct Arguments {
    seed: u64,
    seeds: u64,
    shards: Option<usize>,
    steps: u64,
    log: bool,
    bug: Option<Bug>,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(arguments) => simulate(&arguments),
        Err(fault) => {
            eprintln!("{fault}\n{USAGE}");
            eprintln!("bugs: {}", Bug::ALL.map(Bug::name).join(" "));
            ExitCode::from(2)
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments =
        Arguments { seed: 1, seeds: 1, shards: None, steps: STEPS_DEFAULT, log: false, bug: None };
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{option}: {value} is no number"));
        match option.as_str() {
            "--seed" => arguments.seed = number()?,
            "--seeds" => arguments.seeds = number()?,
            "--steps" => arguments.steps = number()?,
            "--shards" => arguments.shards = Some(shards(number()?)?),
            "--log" if value == "short" => arguments.log = true,
            "--bug" => arguments.bug = Some(Bug::from_name(&value).ok_or("no such bug")?),
            _ => return Err(format!("{option} {value} is not understood")),
        }
    }
    Ok(arguments)
}

fn shards(count: u64) -> Result<usize, String> {
    if (1..=8).contains(&count) { Ok(count as usize) } else { Err("1 to 8 shards".into()) }
}

fn simulate(arguments: &Arguments) -> ExitCode {
    let shards = arguments.shards.map_or(vec![1, 2, 3, 4], |count| vec![count]);
    let (mut runs, mut messages, mut letters) = (0u64, 0, 0);
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
        for count in &shards {
            let Arguments { steps, bug, log, .. } = *arguments;
            let outcome = run(&Request { seed, shards: *count, steps, bug, log });
            runs += 1;
            messages += outcome.messages;
            letters += outcome.letters;
            if !passes(seed, *count, &outcome) {
                return ExitCode::FAILURE;
            }
        }
    }
    say(&format!("{runs} runs, {messages} messages, {letters} letters: no rule was broken"));
    ExitCode::SUCCESS
}

fn passes(seed: u64, shards: usize, outcome: &Outcome) -> bool {
    let Some(violation) = &outcome.violation else { return true };
    say(&format!("seed {seed}, {shards} shards: {violation}"));
    say(&format!("again: simulate --seed {seed} --shards {shards} --log short"));
    false
}

/// Prints a line; a reader that has gone away is no reason to stop.
fn say(line: &str) {
    _ = writeln!(std::io::stdout(), "{line}");
}
