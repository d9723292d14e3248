//! The core's lock-free parts over loom, which runs each test under every interleaving and every value that the memory
//! model lets a load return. The files are the core's own; only the atomics below them differ.
#![cfg(test)]

mod atomic {
    pub use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}

#[path = "../../queenright-core/src/steps.rs"]
mod steps;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

use steps::Steps;

/// Enter if possible and make two steps, each beside a plain counter that only the runner may touch.
fn run(steps: &Steps, only_runners: &AtomicU64) -> Vec<u64> {
    let Some(run) = steps.enter() else {
        return Vec::new();
    };
    let before = only_runners.load(Ordering::Relaxed);
    let numbers = vec![run.begin(), run.begin()];
    only_runners.store(before + 2, Ordering::Relaxed);
    numbers
}

#[test]
fn runners_exclude_each_other_and_each_sees_what_the_last_one_did() {
    loom::model(|| {
        let steps = Arc::new(Steps::new());
        let only_runners = Arc::new(AtomicU64::new(0));
        let other = {
            let (steps, only_runners) = (steps.clone(), only_runners.clone());
            thread::spawn(move || run(&steps, &only_runners))
        };
        let mut numbers = run(&steps, &only_runners);
        numbers.extend(other.join().expect("it does not panic"));
        numbers.sort_unstable();
        let made = numbers.len() as u64;
        assert!(made == 2 || made == 4, "nobody could enter");
        assert_eq!(
            numbers,
            (1..=made).collect::<Vec<_>>(),
            "a step's number twice"
        );
        assert_eq!(
            only_runners.load(Ordering::Relaxed),
            made,
            "a runner missed what another did"
        );
        assert_eq!(steps.now(), 0);
        assert!(steps.enter().is_some(), "the right was not given back");
    });
}

#[test]
fn a_watcher_sees_only_steps_that_were_begun_and_none_again_after_a_later_one() {
    loom::model(|| {
        let steps = Arc::new(Steps::new());
        let watcher = {
            let steps = steps.clone();
            thread::spawn(move || (0..3).map(|_| steps.now()).collect::<Vec<_>>())
        };
        let run = steps.enter().expect("nobody else wants to");
        run.begin();
        run.end();
        run.begin();
        drop(run);
        let seen = watcher.join().expect("it does not panic");
        assert!(
            seen.iter().all(|step| *step <= 2),
            "a step that never was: {seen:?}"
        );
        let begun: Vec<u64> = seen.iter().copied().filter(|step| *step != 0).collect();
        assert!(begun.is_sorted(), "back to an older step: {seen:?}");
    });
}

/// The models can fail: with the two orderings weakened, loom finds a runner that misses what the last one did.
#[test]
#[should_panic(expected = "a runner missed")]
fn without_acquire_and_release_the_first_model_fails() {
    loom::model(|| {
        let (running, data) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let enter = |running: &AtomicBool, data: &AtomicU64| {
            if running.swap(true, Ordering::Relaxed) {
                return 0;
            }
            let before = data.load(Ordering::Relaxed);
            data.store(before + 1, Ordering::Relaxed);
            running.store(false, Ordering::Relaxed);
            1
        };
        let other = {
            let (running, data) = (running.clone(), data.clone());
            thread::spawn(move || enter(&running, &data))
        };
        let mine = enter(&running, &data);
        let made = mine + other.join().expect("it does not panic");
        assert_eq!(
            data.load(Ordering::Relaxed),
            made,
            "a runner missed what another did"
        );
    });
}

/// Why the number is one word: a number beside a flag, as it once was, shows a watcher an old step as the present one.
#[test]
#[should_panic(expected = "an old step in progress")]
fn a_flag_beside_a_counter_would_name_the_step_before() {
    loom::model(|| {
        let (stepping, count) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(1)),
        );
        let watcher = {
            let (stepping, count) = (stepping.clone(), count.clone());
            thread::spawn(move || {
                stepping
                    .load(Ordering::Relaxed)
                    .then(|| count.load(Ordering::Relaxed))
            })
        };
        count.fetch_add(1, Ordering::Relaxed);
        stepping.store(true, Ordering::Relaxed);
        let seen = watcher.join().expect("it does not panic");
        assert_ne!(seen, Some(1), "an old step in progress");
    });
}
