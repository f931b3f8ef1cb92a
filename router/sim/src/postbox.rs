//! The lanes between shards: first-in first-out for each sender, receiver and lane; delayed at will, never reordered,
//! because the queues between threads cannot either.

use std::collections::VecDeque;

use crossring_router::address::ShardId;
use crossring_router::letter::{Lane, Letter};

use crate::bug::{Fate, Saboteur, may_swap};
use crate::options::Faults;
use crate::rng::SeededRng;

/// Every lane of the node.
#[derive(Debug)]
pub struct Postbox {
    lanes: Vec<VecDeque<Sent>>,
    nodes: usize,
    faults: Faults,
    rng: SeededRng,
    saboteur: Saboteur,
    posted: u64,
    waiting: usize,
}

#[derive(Debug)]
struct Sent {
    posted_tick: u64,
    due_tick: u64,
    letter: Letter,
}

/// Ticks by which a letter is late when its receiver is said to have acknowledged it already.
const SLOW_TICKS: u64 = 60;

/// The lanes, most urgent first.
pub const LANES: [Lane; 3] = [Lane::Control, Lane::Reply, Lane::Data];

impl Postbox {
    /// Empty lanes between `shards` data shards and the control shard.
    pub fn new(shards: usize, faults: Faults, rng: SeededRng, saboteur: Saboteur) -> Self {
        let nodes = shards + 1;
        let lanes = (0..nodes * nodes * LANES.len()).map(|_| VecDeque::new()).collect();
        Self { lanes, nodes, faults, rng, saboteur, posted: 0, waiting: 0 }
    }

    /// Puts a letter on its lane.
    pub fn post(&mut self, tick: u64, from: ShardId, to: ShardId, letter: Letter) {
        self.posted += 1;
        match self.saboteur.inspect(from, to, letter) {
            Fate::Sent(letter) => self.append(tick, from, to, letter),
            Fate::Swapped(letter) => self.append_swapped(tick, from, to, letter),
            Fate::Doubled(letter) => {
                self.append(tick, from, to, letter.clone());
                self.append(tick, from, to, letter);
            }
            Fate::Acknowledged(letter, ticket) => {
                self.append(tick, to, from, Letter::Acknowledge { ticket });
                self.append(tick + SLOW_TICKS, from, to, letter);
            }
            Fate::Followed(letter, next) => {
                self.append(tick, from, to, letter);
                self.append(tick, from, to, next);
            }
            Fate::Lost => {}
        }
    }

    /// Takes the next letter of a lane, if it has arrived.
    pub fn take(&mut self, tick: u64, from: ShardId, to: ShardId, lane: Lane) -> Option<Letter> {
        let queue = self.lane_mut(from, to, lane);
        if queue.front()?.due_tick > tick {
            return None;
        }
        let sent = queue.pop_front()?;
        self.waiting -= 1;
        Some(sent.letter)
    }

    /// Whether every Data lane of the sender has room: otherwise it reads its clients no further.
    pub fn has_credit(&self, from: ShardId) -> bool {
        let room = |to| self.lanes[self.index(from, to, Lane::Data)].len() < self.faults.lane_credit;
        self.everybody().all(room)
    }

    /// Everything that was posted to the control shard before this tick has been taken by now.
    pub fn horizon(&self, tick: u64) -> u64 {
        let lanes =
            self.everybody().flat_map(|from| LANES.map(|lane| self.index(from, ShardId::CONTROL, lane)));
        let waiting = lanes.filter_map(|index| self.lanes[index].front());
        waiting.map(|sent| sent.posted_tick).min().unwrap_or(tick).min(tick)
    }

    /// Letters on their way.
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Letters ever posted.
    pub const fn posted(&self) -> u64 {
        self.posted
    }

    /// No more delays, and room for everything.
    pub fn heal(&mut self) {
        self.faults.letter_delay_per_mille = 0;
        self.faults.lane_credit = usize::MAX;
    }

    /// Puts bugs in; shared with the hosts of the shards.
    pub const fn saboteur(&mut self) -> &mut Saboteur {
        &mut self.saboteur
    }

    /// Every shard, the control shard last.
    pub fn everybody(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.nodes - 1).map(|index| ShardId(index as u8)).chain([ShardId::CONTROL])
    }

    fn append(&mut self, tick: u64, from: ShardId, to: ShardId, letter: Letter) {
        let due_tick = self.due(tick, from, to, letter.lane());
        self.waiting += 1;
        self.lane_mut(from, to, letter.lane()).push_back(Sent { posted_tick: tick, due_tick, letter });
    }

    fn append_swapped(&mut self, tick: u64, from: ShardId, to: ShardId, letter: Letter) {
        let lane = letter.lane();
        self.append(tick, from, to, letter);
        let queue = self.lane_mut(from, to, lane);
        let last = queue.len() - 1;
        if last > 0 && may_swap(&queue[last - 1].letter, &queue[last].letter) {
            queue.swap(last - 1, last);
        }
    }

    /// Not before the letter in front of it.
    fn due(&mut self, tick: u64, from: ShardId, to: ShardId, lane: Lane) -> u64 {
        let delayed = self.rng.chance(self.faults.letter_delay_per_mille);
        let delay = if delayed { self.rng.between(1, self.faults.letter_delay_ticks_max) } else { 0 };
        let before = self.lane_mut(from, to, lane).back().map_or(0, |sent| sent.due_tick);
        before.max(tick + delay)
    }

    fn lane_mut(&mut self, from: ShardId, to: ShardId, lane: Lane) -> &mut VecDeque<Sent> {
        let index = self.index(from, to, lane);
        &mut self.lanes[index]
    }

    fn index(&self, from: ShardId, to: ShardId, lane: Lane) -> usize {
        (self.node(from) * self.nodes + self.node(to)) * LANES.len() + lane as usize
    }

    fn node(&self, shard: ShardId) -> usize {
        if shard == ShardId::CONTROL { self.nodes - 1 } else { shard.index() }
    }
}
