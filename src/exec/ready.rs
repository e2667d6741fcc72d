//! The stages that can start, in the order in which they should.
//!
//! Stages that ask for the same are kept together, each such class as a heap: what to start next is decided by looking
//! at the head of each class, so that the cost of a start does not grow with the number of waiting stages.

use super::resources::{Demand, Lack, Resources, Taken};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

/// A stage that does not fit is passed over this often by less urgent ones; then what it lacks is kept for it.
/// Without that, a stage that needs the whole machine would wait until nothing else is left to do.
const PATIENCE: u32 = 16;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    classes: Vec<Class>,
    positions: BTreeMap<Demand, usize>,
    len: usize,
}

#[derive(Debug)]
struct Class {
    demand: Demand,
    heap: BinaryHeap<Entry>,
    /// How often the head was passed over.
    passed: u32,
}

/// A stage and how urgent it is: the seconds until the end of the run that depend on it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    priority: f64,
    stage: usize,
}

/// The more urgent one is greater; of equally urgent ones the earlier in the file.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.priority
            .total_cmp(&other.priority)
            .then_with(|| Reverse(self.stage).cmp(&Reverse(other.stage)))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl ReadyQueue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a stage.
    pub(super) fn push(&mut self, stage: usize, priority: f64, demand: Demand) {
        let at = *self.positions.entry(demand).or_insert_with_key(|demand| {
            self.classes.push(Class {
                demand: demand.clone(),
                heap: BinaryHeap::new(),
                passed: 0,
            });
            self.classes.len() - 1
        });
        self.classes[at].heap.push(Entry { priority, stage });
        self.len += 1;
    }

    /// Gives every waiting stage its new priority, by position.
    pub(super) fn reprioritise(&mut self, priorities: &[f64]) {
        for class in &mut self.classes {
            class.heap = class
                .heap
                .drain()
                .map(|entry| Entry {
                    priority: priorities[entry.stage],
                    ..entry
                })
                .collect();
        }
    }

    /// Takes out the most urgent stage that fits, with what it needs.
    pub(super) fn pop(&mut self, resources: &mut Resources) -> Option<(usize, Taken)> {
        if self.len == 0 || resources.exhausted() {
            return None;
        }
        let heads: Vec<(usize, Entry, Lack)> = self
            .classes
            .iter()
            .enumerate()
            .filter_map(|(at, class)| {
                Some((at, *class.heap.peek()?, resources.lack(&class.demand)))
            })
            .collect();
        let kept = Kept::of(&heads, &self.classes);
        let (at, best, _) = heads
            .iter()
            .filter(|(at, entry, lack)| {
                lack.nothing() && kept.leaves(&self.classes[*at].demand, entry)
            })
            .max_by(|a, b| a.1.cmp(&b.1))
            .copied()?;
        for (other, entry, lack) in &heads {
            if *entry > best && (lack.cpus || lack.memory || lack.gpus) {
                self.classes[*other].passed += 1;
            }
        }
        let class = &mut self.classes[at];
        let taken = resources.take(&class.demand)?;
        class.heap.pop();
        class.passed = 0;
        self.len -= 1;
        Some((best.stage, taken))
    }
}

/// What is kept for stages that were passed over too often: nothing less urgent may take it.
#[derive(Debug, Default)]
struct Kept {
    cpus: Option<Entry>,
    memory: Option<Entry>,
    gpus: Option<Entry>,
}

impl Kept {
    fn of(heads: &[(usize, Entry, Lack)], classes: &[Class]) -> Self {
        let mut kept = Self::default();
        for (at, entry, lack) in heads {
            if classes[*at].passed >= PATIENCE {
                kept.cpus = kept.cpus.max(lack.cpus.then_some(*entry));
                kept.memory = kept.memory.max(lack.memory.then_some(*entry));
                kept.gpus = kept.gpus.max(lack.gpus.then_some(*entry));
            }
        }
        kept
    }

    /// Whether a stage takes nothing that is kept for a more urgent one.
    fn leaves(&self, demand: &Demand, entry: &Entry) -> bool {
        let free = |kept: Option<Entry>| kept.is_none_or(|kept| kept < *entry);
        free(self.cpus)
            && (!demand.takes_memory() || free(self.memory))
            && (!demand.takes_gpus() || free(self.gpus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stopwatch;
    use crate::spec::Execution;

    fn resources(cpus: usize) -> Resources {
        let groups = [("download".to_owned(), 1)].into();
        Resources::new(cpus, None, vec!["0".to_owned()], &groups)
    }

    fn execution(cpus: usize, gpus: usize, groups: &[&str]) -> Execution {
        Execution {
            cpus,
            gpus,
            groups: groups.iter().map(|&name| name.to_owned()).collect(),
            ..Execution::default()
        }
    }

    #[test]
    fn the_most_urgent_comes_first_and_then_the_order_of_the_file() {
        let mut all = resources(9);
        let mut queue = ReadyQueue::default();
        let demand = all.demand(&Execution::default());
        for (stage, priority) in [(0, 1.0), (1, 5.0), (2, 1.0), (3, 2.0)] {
            queue.push(stage, priority, demand.clone());
        }
        queue.push(4, 3.0, all.demand(&execution(2, 0, &[])));
        let order: Vec<usize> =
            std::iter::from_fn(|| queue.pop(&mut all).map(|(stage, _)| stage)).collect();
        assert_eq!(order, [1, 4, 3, 0, 2]);
        assert!(queue.is_empty());
    }

    #[test]
    fn priorities_can_change_while_stages_wait() {
        let mut all = resources(9);
        let mut queue = ReadyQueue::default();
        for stage in 0..3 {
            queue.push(stage, 1.0, all.demand(&Execution::default()));
        }
        queue.reprioritise(&[1.0, 2.0, 3.0]);
        let order: Vec<usize> =
            std::iter::from_fn(|| queue.pop(&mut all).map(|(stage, _)| stage)).collect();
        assert_eq!(order, [2, 1, 0]);
    }

    #[test]
    fn what_does_not_fit_is_passed_over() {
        let mut all = resources(4);
        let mut queue = ReadyQueue::default();
        let (gpu, download) = (execution(1, 1, &[]), execution(1, 0, &["download"]));
        for (stage, priority, execution) in [
            (0, 9.0, &gpu),
            (1, 8.0, &gpu),
            (2, 7.0, &download),
            (3, 6.0, &download),
            (4, 1.0, &Execution::default()),
        ] {
            queue.push(stage, priority, all.demand(execution));
        }
        let order: Vec<usize> =
            std::iter::from_fn(|| queue.pop(&mut all).map(|(stage, _)| stage)).collect();
        assert_eq!(order, [0, 2, 4]);
        assert_eq!(queue.len(), 2);
    }

    /// Two slots, one of them always busy with small stages: the big one gets its turn all the same.
    #[test]
    fn a_big_stage_is_not_passed_over_for_ever() {
        let mut all = resources(2);
        let mut queue = ReadyQueue::default();
        let small = all.demand(&Execution::default());
        for stage in 0..100 {
            queue.push(stage, 1.0, small.clone());
        }
        let (_, mut running) = queue.pop(&mut all).expect("a small one");
        queue.push(1000, 50.0, all.demand(&execution(2, 0, &[])));
        let mut before = 1;
        loop {
            let next = queue.pop(&mut all);
            all.give_back(&running);
            let (stage, taken) = match next {
                Some(next) => next,
                // Nothing was started while the slots were kept.
                None => queue.pop(&mut all).expect("the machine is empty"),
            };
            if stage == 1000 {
                break;
            }
            before += 1;
            running = taken;
        }
        assert!((2..=20).contains(&before), "{before} came before it");
    }

    /// A hundred times what it takes, so that a busy machine passes and anything quadratic does not.
    #[test]
    fn a_hundred_thousand_waiting_stages_cost_no_more_each_than_a_few() {
        let mut all = resources(2);
        let mut queue = ReadyQueue::default();
        let demands = [
            all.demand(&Execution::default()),
            all.demand(&execution(1, 0, &["download"])),
            all.demand(&execution(1, 1, &[])),
        ];
        let watch = Stopwatch::start();
        for stage in 0..100_000 {
            queue.push(stage, (stage % 17) as f64, demands[stage % 3].clone());
        }
        let mut running = Vec::new();
        let mut ended = 0;
        while ended < 100_000 {
            while let Some((_, taken)) = queue.pop(&mut all) {
                running.push(taken);
            }
            all.give_back(&running.remove(0));
            ended += 1;
        }
        assert!(watch.seconds() < 5.0, "{:.2} s", watch.seconds());
    }
}
