//! Threads that stay awake through a run of small operations.
//!
//! Generating text is a chain of operations of a few microseconds each. Between two of them the threads of a rayon pool fall asleep, and waking
//! them costs more than the operation. [`together`] borrows them for a whole run: they wait for the next operation with their eyes open.

use rayon::prelude::*;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};

thread_local! {
    /// The team that this thread leads.
    static TEAM: RefCell<Option<Arc<Team>>> = const { RefCell::new(None) };
}

/// Whether the process has a team. A second one, led by another thread, could take the last threads of the pool from the first, and both would wait
/// for ever for a large product.
static LED: AtomicBool = AtomicBool::new(false);

/// Looks at a shared number before others get the processor: some microseconds.
const PATIENCE: u32 = 200;

/// Tasks of one operation.
struct Job<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    count: usize,
    /// The next task that nobody has taken.
    next: AtomicUsize,
    /// A helper's task panicked.
    broken: AtomicBool,
}

impl Job<'_> {
    /// Takes tasks until none is left.
    fn work(&self) {
        loop {
            let task = self.next.fetch_add(1, SeqCst);
            if task >= self.count {
                return;
            }
            (self.task)(task);
        }
    }
}

/// What a leader and its helpers share.
#[derive(Default)]
struct Team {
    /// The open job; null between jobs.
    job: AtomicPtr<Job<'static>>,
    /// How many jobs were opened.
    opened: AtomicUsize,
    /// Helpers that may be looking at the open job.
    inside: AtomicUsize,
    /// No job will come.
    over: AtomicBool,
}

impl Team {
    /// Helps with every job until the end.
    fn help(&self) {
        let mut known = 0;
        loop {
            wait(|| self.opened.load(SeqCst) != known || self.over.load(SeqCst));
            if self.over.load(SeqCst) {
                return;
            }
            known = self.opened.load(SeqCst);
            self.inside.fetch_add(1, SeqCst);
            let job = self.job.load(SeqCst);
            if !job.is_null() {
                // SAFETY: the leader frees a job after it has closed it (stored null) and then seen `inside` at 0. All of these are
                // sequentially consistent: this thread counted itself before it found the job open, so it is counted until it leaves below.
                #[expect(unsafe_code, reason = "helpers outlive every job")]
                let job = unsafe { &*job };
                if catch_unwind(AssertUnwindSafe(|| job.work())).is_err() {
                    job.broken.store(true, SeqCst);
                }
            }
            self.inside.fetch_sub(1, SeqCst);
        }
    }

    /// Does all tasks, with whoever is awake.
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let job = Job {
            task,
            count,
            next: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        };
        {
            let _open = Open::new(self, &job);
            job.work();
        }
        assert!(!job.broken.load(SeqCst), "a task of a team panicked");
    }
}

/// A job that helpers can see; closes it, also when a task panics.
struct Open<'a, 'b> {
    team: &'a Team,
    job: PhantomData<&'a Job<'b>>,
}

impl<'a, 'b> Open<'a, 'b> {
    fn new(team: &'a Team, job: &'a Job<'b>) -> Self {
        let job: *const Job<'b> = job;
        team.job
            .store(job.cast::<Job<'static>>().cast_mut(), SeqCst);
        team.opened.fetch_add(1, SeqCst);
        Self {
            team,
            job: PhantomData,
        }
    }
}

impl Drop for Open<'_, '_> {
    fn drop(&mut self) {
        self.team.job.store(null_mut(), SeqCst);
        wait(|| self.team.inside.load(SeqCst) == 0);
    }
}

/// Waits for a change that is near; on a busy machine, lets others work.
fn wait(ready: impl Fn() -> bool) {
    let mut looks = 0;
    while !ready() {
        looks += 1;
        if looks < PATIENCE {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

/// Ends a team, also when its leader panics.
struct Leading(Arc<Team>);

impl Drop for Leading {
    fn drop(&mut self) {
        TEAM.set(None);
        self.0.over.store(true, SeqCst);
        LED.store(false, SeqCst);
    }
}

/// Runs `work`, a chain of small operations, with the threads of the current rayon pool awake for all of them.
///
/// Large products inside it still go through rayon, which has a thread left meanwhile. One such run at a time: another one, inside it or on
/// another thread, goes through rayon alone.
pub(super) fn together<R>(work: impl FnOnce() -> R) -> R {
    let helpers = rayon::current_num_threads() - 1;
    if helpers == 0 || LED.swap(true, SeqCst) {
        return work();
    }
    let team = Arc::new(Team::default());
    let leading = Leading(team.clone());
    rayon::in_place_scope(|scope| {
        for _ in 0..helpers {
            let team = team.clone();
            scope.spawn(move |_| team.help());
        }
        TEAM.set(Some(team.clone()));
        // Ends the team before the scope waits for its helpers.
        let _leading = leading;
        work()
    })
}

/// Calls `task` for each of `0..count`, in any order, on the threads of this thread's team or of the current rayon pool.
pub(super) fn for_each(count: usize, task: impl Fn(usize) + Sync) {
    if count < 2 {
        return (0..count).for_each(task);
    }
    // Taken out while it works: what a task calls goes through rayon.
    match TEAM.take() {
        Some(team) => {
            let back = Back(team);
            back.0.run(count, &task);
        }
        None => (0..count).into_par_iter().for_each(&task),
    }
}

/// Puts a team back, also when a task panics.
struct Back(Arc<Team>);

impl Drop for Back {
    fn drop(&mut self) {
        TEAM.set(Some(self.0.clone()));
    }
}

/// Numbers that tasks write in places of their own.
pub(super) struct Shared<'a, T> {
    first: *mut T,
    count: usize,
    of: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a mutable slice, whose parts may go to other threads when `T` may.
#[expect(unsafe_code, reason = "a slice that is written in parts")]
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Lends a slice out in parts.
    pub(super) fn new(numbers: &'a mut [T]) -> Self {
        Self {
            first: numbers.as_mut_ptr(),
            count: numbers.len(),
            of: PhantomData,
        }
    }

    /// `count` numbers from `start` on.
    ///
    /// # Safety
    /// No two parts that live at the same time may overlap.
    #[expect(
        unsafe_code,
        clippy::mut_from_ref,
        reason = "a slice that is written in parts"
    )]
    pub(super) unsafe fn part(&self, start: usize, count: usize) -> &mut [T] {
        assert!(
            start <= self.count && count <= self.count - start,
            "a part outside"
        );
        // SAFETY: inside the slice, as asserted; the caller keeps parts apart.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(start), count) }
    }
}

/// Calls `f(index, piece)` for each piece of `piece` numbers, the last may be shorter.
pub(super) fn pieces<T: Send>(numbers: &mut [T], piece: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let count = numbers.len();
    if count <= piece {
        if count > 0 {
            f(0, numbers);
        }
        return;
    }
    let shared = Shared::new(numbers);
    for_each(count.div_ceil(piece), |index| {
        let start = index * piece;
        // SAFETY: each index comes once, and the pieces of different indices do not overlap.
        #[expect(unsafe_code, reason = "a slice that is written in parts")]
        f(index, unsafe {
            shared.part(start, piece.min(count - start))
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(work)
    }

    #[test]
    fn every_task_of_every_operation_runs_once() {
        for threads in [1, 2, 5] {
            on_threads(threads, || {
                together(|| {
                    for count in (0..300).chain([5000]) {
                        let mut numbers = vec![0_u32; count];
                        pieces(&mut numbers, 3, |index, piece| {
                            for (offset, number) in piece.iter_mut().enumerate() {
                                *number += (index * 3 + offset) as u32;
                            }
                        });
                        assert!(numbers.iter().enumerate().all(|(i, &n)| n == i as u32));
                    }
                });
            });
        }
    }

    #[test]
    fn a_task_may_start_an_operation_of_its_own() {
        on_threads(3, || {
            let sums = Mutex::new(vec![0; 10]);
            together(|| {
                for_each(10, |outer| {
                    let sum = AtomicUsize::new(0);
                    for_each(100, |inner| {
                        sum.fetch_add(inner, SeqCst);
                    });
                    sums.lock().unwrap()[outer] = sum.into_inner();
                });
                together(|| for_each(10, |_| ()));
            });
            assert_eq!(sums.into_inner().unwrap(), vec![4950; 10]);
        });
    }

    #[test]
    fn leaders_on_threads_outside_the_pool_do_not_take_it_from_one_another() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2);
        let pool = pool.build().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        together(|| {
                            for_each(3, |_| std::hint::spin_loop());
                            // A large product: not a thing of the team.
                            let sum: u64 = pool.install(|| (0..1000_u64).into_par_iter().sum());
                            assert_eq!(sum, 499_500);
                            let sum: u64 = (0..1000_u64).into_par_iter().sum();
                            assert_eq!(sum, 499_500);
                        });
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_ends_the_operation_and_not_the_threads() {
        on_threads(2, || {
            for broken in 0..20 {
                let result = catch_unwind(|| {
                    together(|| {
                        for_each(20, |task| {
                            std::thread::yield_now();
                            assert!(task != broken, "as wanted");
                        });
                    });
                });
                assert!(result.is_err());
            }
            let done = AtomicUsize::new(0);
            together(|| {
                for_each(20, |_| {
                    done.fetch_add(1, SeqCst);
                });
            });
            assert_eq!(done.into_inner(), 20);
        });
    }
}
