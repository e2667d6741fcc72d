//! What running stages may take together: the machine's cores and memory.

use crate::spec::StageSpec;

/// What running stages take together.
#[derive(Debug)]
pub(super) struct Resources {
    free_cpus: usize,
    free_memory: Option<u64>,
    running: usize,
}

impl Resources {
    /// All of the machine: `cpus` slots, and memory where it is known.
    pub(super) fn new(cpus: usize, memory: Option<u64>) -> Self {
        Self {
            free_cpus: cpus,
            free_memory: memory,
            running: 0,
        }
    }

    /// Takes what the stage needs, when it is free. A stage that asks for more than the machine has runs alone.
    pub(super) fn take(&mut self, stage: &StageSpec) -> Option<Taken> {
        let memory = stage.memory.unwrap_or(0);
        let fits =
            stage.cpus <= self.free_cpus && self.free_memory.is_none_or(|free| memory <= free);
        if !fits && self.running > 0 {
            return None;
        }
        let taken = Taken {
            cpus: stage.cpus.min(self.free_cpus),
            memory: self.free_memory.map_or(0, |free| memory.min(free)),
        };
        self.free_cpus -= taken.cpus;
        if let Some(free) = &mut self.free_memory {
            *free -= taken.memory;
        }
        self.running += 1;
        Some(taken)
    }

    /// Gives back what a stage took.
    pub(super) fn give_back(&mut self, taken: &Taken) {
        self.free_cpus += taken.cpus;
        if let Some(free) = &mut self.free_memory {
            *free += taken.memory;
        }
        self.running -= 1;
    }
}

/// What one running stage took.
#[derive(Debug)]
pub(super) struct Taken {
    cpus: usize,
    memory: u64,
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
