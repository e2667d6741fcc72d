//! What running stages may take together: cores, memory, GPUs, places in groups.

use crate::spec::Execution;
use std::collections::{BTreeMap, BTreeSet};

/// What is there and free.
#[derive(Debug)]
pub(super) struct Resources {
    free_cpus: usize,
    free_memory: Option<u64>,
    /// All devices, by position.
    gpus: Vec<String>,
    /// Positions of the free ones: the lowest is handed out first.
    free_gpus: BTreeSet<usize>,
    /// Names of groups -> position.
    groups: BTreeMap<String, usize>,
    /// Free places of each group.
    free_places: Vec<usize>,
    running: usize,
}

/// What one stage takes while it runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Demand {
    cpus: usize,
    memory: u64,
    gpus: usize,
    /// Positions of groups.
    groups: Vec<usize>,
}

/// What one running stage took.
#[derive(Debug)]
pub(super) struct Taken {
    cpus: usize,
    memory: u64,
    gpus: Vec<usize>,
    groups: Vec<usize>,
}

/// Of what there is not enough at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) cpus: bool,
    pub(super) memory: bool,
    pub(super) gpus: bool,
    pub(super) group: bool,
}

impl Lack {
    pub(super) fn nothing(self) -> bool {
        self == Self::default()
    }
}

impl Demand {
    /// Whether it takes any memory that counts.
    pub(super) fn takes_memory(&self) -> bool {
        self.memory > 0
    }

    /// Whether it takes a GPU.
    pub(super) fn takes_gpus(&self) -> bool {
        self.gpus > 0
    }
}

impl Resources {
    /// `cpus` slots, memory where it is known, devices by their ids, and the limits of the groups.
    pub(super) fn new(
        cpus: usize,
        memory: Option<u64>,
        gpus: Vec<String>,
        groups: &BTreeMap<String, usize>,
    ) -> Self {
        Self {
            free_cpus: cpus,
            free_memory: memory,
            free_gpus: (0..gpus.len()).collect(),
            gpus,
            groups: groups.keys().cloned().zip(0..).collect(),
            free_places: groups.values().copied().collect(),
            running: 0,
        }
    }

    /// What a stage will take.
    pub(super) fn demand(&self, execution: &Execution) -> Demand {
        Demand {
            cpus: execution.cpus,
            memory: execution.memory.unwrap_or(0),
            gpus: execution.gpus,
            groups: execution
                .groups
                .iter()
                .filter_map(|name| self.groups.get(name).copied())
                .collect(),
        }
    }

    /// How many devices there are.
    pub(super) fn gpus(&self) -> usize {
        self.gpus.len()
    }

    /// Whether nothing more can start, whatever it asks for.
    pub(super) fn exhausted(&self) -> bool {
        self.free_cpus == 0 && self.running > 0
    }

    /// What keeps a stage from starting. One that asks for more cores or memory than the machine has runs alone.
    pub(super) fn lack(&self, demand: &Demand) -> Lack {
        let others = self.running > 0;
        Lack {
            cpus: others && demand.cpus > self.free_cpus,
            memory: others && self.free_memory.is_some_and(|free| demand.memory > free),
            gpus: demand.gpus > self.free_gpus.len(),
            group: demand
                .groups
                .iter()
                .any(|&group| self.free_places[group] == 0),
        }
    }

    /// Takes what the stage needs, when it is free.
    pub(super) fn take(&mut self, demand: &Demand) -> Option<Taken> {
        if !self.lack(demand).nothing() {
            return None;
        }
        let taken = Taken {
            cpus: demand.cpus.min(self.free_cpus),
            memory: self.free_memory.map_or(0, |free| demand.memory.min(free)),
            gpus: self.free_gpus.iter().copied().take(demand.gpus).collect(),
            groups: demand.groups.clone(),
        };
        self.free_cpus -= taken.cpus;
        if let Some(free) = &mut self.free_memory {
            *free -= taken.memory;
        }
        for gpu in &taken.gpus {
            self.free_gpus.remove(gpu);
        }
        for &group in &taken.groups {
            self.free_places[group] -= 1;
        }
        self.running += 1;
        Some(taken)
    }

    /// The ids of the devices that a stage took.
    pub(super) fn gpu_ids(&self, taken: &Taken) -> Vec<String> {
        taken
            .gpus
            .iter()
            .map(|&gpu| self.gpus[gpu].clone())
            .collect()
    }

    /// Gives back what a stage took.
    pub(super) fn give_back(&mut self, taken: &Taken) {
        self.free_cpus += taken.cpus;
        if let Some(free) = &mut self.free_memory {
            *free += taken.memory;
        }
        self.free_gpus.extend(&taken.gpus);
        for &group in &taken.groups {
            self.free_places[group] += 1;
        }
        self.running -= 1;
    }
}

/// `MemTotal` of the machine, in bytes.
pub(super) fn machine_memory() -> Option<u64> {
    let text = fs_err::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(cpus: usize, memory: u64, gpus: &[&str]) -> Resources {
        let groups = [("disk".to_owned(), 2), ("download".to_owned(), 1)].into();
        let gpus = gpus.iter().map(|&id| id.to_owned()).collect();
        Resources::new(cpus, Some(memory), gpus, &groups)
    }

    fn asks(change: impl FnOnce(&mut Execution)) -> Execution {
        let mut execution = Execution::default();
        change(&mut execution);
        execution
    }

    #[test]
    fn cores_are_counted() {
        let mut all = resources(4, 100, &[]);
        let three = all.demand(&asks(|e| e.cpus = 3));
        let one = all.demand(&asks(|e| e.cpus = 1));
        let first = all.take(&three).expect("free");
        assert!(all.take(&three).is_none());
        let second = all.take(&one).expect("one is left");
        assert!(all.exhausted());
        assert!(all.take(&one).is_none());
        all.give_back(&first);
        all.give_back(&second);
        assert!(all.take(&three).is_some());
    }

    #[test]
    fn memory_is_counted() {
        let mut all = resources(8, 100, &[]);
        let much = all.demand(&asks(|e| e.memory = Some(60)));
        let little = all.demand(&asks(|e| e.memory = Some(40)));
        let first = all.take(&much).expect("free");
        let lack = all.lack(&much);
        assert!(lack.memory && !lack.cpus);
        let second = all.take(&little).expect("forty are left");
        all.give_back(&first);
        assert!(all.take(&much).is_some());
        all.give_back(&second);
    }

    #[test]
    fn a_stage_that_asks_for_more_than_the_machine_has_runs_alone() {
        let mut all = resources(2, 100, &[]);
        let huge = all.demand(&asks(|e| {
            e.cpus = 64;
            e.memory = Some(1000);
        }));
        let small = all.demand(&Execution::default());
        let running = all.take(&small).expect("free");
        assert!(all.take(&huge).is_none());
        all.give_back(&running);
        let alone = all.take(&huge).expect("nothing else runs");
        assert!(all.take(&small).is_none());
        all.give_back(&alone);
        let a = all.take(&small).expect("all is back");
        let b = all.take(&small).expect("all is back");
        assert!(all.exhausted());
        all.give_back(&a);
        all.give_back(&b);
    }

    #[test]
    fn devices_are_exclusive_and_the_lowest_come_first() {
        let mut all = resources(8, 100, &["4", "7", "GPU-x"]);
        let two = all.demand(&asks(|e| e.gpus = 2));
        let one = all.demand(&asks(|e| e.gpus = 1));
        let first = all.take(&two).expect("free");
        assert_eq!(all.gpu_ids(&first), ["4", "7"]);
        assert!(all.lack(&two).gpus);
        let second = all.take(&one).expect("one is left");
        assert_eq!(all.gpu_ids(&second), ["GPU-x"]);
        assert!(all.take(&one).is_none());
        all.give_back(&first);
        let third = all.take(&one).expect("two are back");
        assert_eq!(all.gpu_ids(&third), ["4"]);
    }

    #[test]
    fn a_group_has_as_many_places_as_its_limit() {
        let mut all = resources(8, 100, &[]);
        let both = all.demand(&asks(|e| e.groups = vec!["disk".into(), "download".into()]));
        let disk = all.demand(&asks(|e| e.groups = vec!["disk".into()]));
        let first = all.take(&both).expect("free");
        assert!(all.lack(&both).group);
        let second = all.take(&disk).expect("a second place");
        assert!(all.take(&disk).is_none());
        all.give_back(&first);
        assert!(all.take(&both).is_some());
        all.give_back(&second);
    }
}
